/** Runs in the page: draws the charts anew with Vega, so that they follow the window and answer to the pointer. */
(() => {
  const vega = globalThis.vega;
  const { config, panels } = JSON.parse(document.getElementById('panels').textContent);
  const box = document.getElementById('tooltip');

  /** Shows what Vega hands over: an object of names and texts; nothing hides the box. */
  function tooltip(_handler, event, _item, value) {
    if (value === null || value === undefined || value === '') {
      box.hidden = true;
      return;
    }
    const table = document.createElement('table');
    for (const [name, text] of Object.entries(value)) {
      const row = table.insertRow();
      const head = document.createElement('th');
      head.textContent = name;
      row.append(head);
      row.insertCell().textContent = text;
    }
    box.replaceChildren(table);
    box.hidden = false;
    const { width, height } = box.getBoundingClientRect();
    const after = event.clientX + 14;
    const left = after + width < innerWidth - 8 ? after : event.clientX - 14 - width;
    const top = Math.min(event.clientY + 14, innerHeight - height - 8);
    box.style.left = `${Math.max(8, left)}px`;
    box.style.top = `${Math.max(8, top)}px`;
  }

  /** Draws one panel in place of the drawing that the page came with. */
  async function draw(element) {
    const spec = panels[element.dataset.panel];
    const live = document.createElement('div');
    live.className = 'drawing live';
    element.append(live);
    const view = new vega.View(vega.parse(spec, config), { renderer: 'svg', container: live, hover: true });
    view.tooltip(tooltip);
    await view.runAsync();
    for (const still of element.querySelectorAll('.drawing:not(.live)')) still.remove();
  }

  async function drawAll() {
    for (const element of document.querySelectorAll('[data-panel]')) {
      await draw(element).catch((error) => {
        // The drawing that the page came with stays.
        element.querySelector('.live')?.remove();
        console.error(element.dataset.panel, error);
      });
    }
    document.documentElement.dataset.drawn = 'true';
  }

  drawAll();
})();
