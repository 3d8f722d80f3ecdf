/** The calendar bytes of a real-time clock: between a count of seconds and the clock's ten registers. */

/** How the bytes are written: MC146818 register B, bits DM and 24/12. */
export interface CalendarFormat {
  readonly binary: boolean;
  readonly hours24: boolean;
}

/** Positions in the bytes that {@link calendarBytes} gives. */
export const FIELD = {
  second: 0,
  minute: 1,
  hour: 2,
  weekday: 3,
  day: 4,
  month: 5,
  year: 6,
  century: 7,
} as const;
/** How many bytes a calendar has. */
export const FIELDS = 8;

const PM = 0x80;

function write(value: number, format: CalendarFormat): number {
  return format.binary ? value : Math.floor(value / 10) * 16 + (value % 10);
}

function read(byte: number, format: CalendarFormat): number {
  return format.binary ? byte : (byte >> 4) * 10 + (byte & 15);
}

/** The calendar of `seconds` since 1970-01-01 00:00 UTC. Weekdays count from Sunday, 1. */
export function calendarBytes(seconds: number, format: CalendarFormat): Uint8Array {
  const date = new Date(seconds * 1000);
  const hour = date.getUTCHours();
  const year = date.getUTCFullYear();
  const bytes = [
    date.getUTCSeconds(),
    date.getUTCMinutes(),
    format.hours24 ? hour : hour % 12 || 12,
    date.getUTCDay() + 1,
    date.getUTCDate(),
    date.getUTCMonth() + 1,
    year % 100,
    Math.floor(year / 100) % 100,
  ].map((value) => write(value, format));
  if (!format.hours24 && hour >= 12) bytes[FIELD.hour]! |= PM;
  return Uint8Array.from(bytes);
}

/** The seconds since 1970 of a calendar. Values out of their range carry over; the weekday is not looked at. */
export function calendarSeconds(bytes: Uint8Array, format: CalendarFormat): number {
  const field = (index: number): number => read(bytes[index]!, format);
  let hour = field(FIELD.hour);
  if (!format.hours24) {
    const afternoon = (bytes[FIELD.hour]! & PM) !== 0;
    hour = (read(bytes[FIELD.hour]! & ~PM, format) % 12) + (afternoon ? 12 : 0);
  }
  const date = new Date(0);
  date.setUTCFullYear(
    field(FIELD.century) * 100 + field(FIELD.year),
    field(FIELD.month) - 1,
    field(FIELD.day),
  );
  date.setUTCHours(hour, field(FIELD.minute), field(FIELD.second));
  return date.getTime() / 1000;
}
