/** Colours can be told from their background and from each other, by everyone. */
import test from 'ava';
import { contrast, distance, visions } from './testing/colours.ts';
import { dark, light, techniqueColours } from './theme.ts';

for (const [name, theme] of Object.entries({ light, dark })) {
  test(`${name}: techniques have 3:1 contrast with the background, text has 4.5:1`, (t) => {
    for (const colour of techniqueColours) t.true(contrast(theme[colour], theme.background) >= 3, colour);
    for (const background of [theme.background, theme.surface]) {
      t.true(contrast(theme.ink, background) >= 4.5);
      t.true(contrast(theme.muted, background) >= 4.5);
      // Links have it too.
      t.true(contrast(theme.reported, background) >= 4.5);
    }
  });

  test(`${name}: any two techniques are apart in every kind of colour vision`, (t) => {
    for (const [vision, matrix] of Object.entries(visions)) {
      for (const a of techniqueColours) {
        for (const b of techniqueColours.slice(techniqueColours.indexOf(a) + 1)) {
          const apart = distance(theme[a], theme[b], matrix);
          t.true(apart >= 11, `${a} and ${b} are ${apart.toFixed(1)} apart in ${vision} vision`);
        }
      }
    }
  });

  test(`${name}: the greys of what is not saved can be told apart`, (t) => {
    const greys = [theme.unsaved1, theme.unsaved2, theme.unsaved3, theme.unsaved4];
    greys.slice(1).forEach((grey, at) => {
      t.true(distance(grey, greys[at]!, visions.normal!) >= 7, `${at}`);
    });
  });
}

test('distances know red from green only with all cones', (t) => {
  t.true(distance('#b00000', '#4a6a00', visions.normal!) > 15);
  t.true(distance('#808080', '#808080', visions.protanopia!) === 0);
  t.true(contrast('#000000', '#ffffff') === 21);
});
