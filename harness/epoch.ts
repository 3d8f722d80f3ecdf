/** What guests believe the time to be when virtual time begins. */

/** 2026-01-01 00:00 UTC, in seconds since 1970: runs do not depend on the day. */
export const epoch = 1_767_225_600;
