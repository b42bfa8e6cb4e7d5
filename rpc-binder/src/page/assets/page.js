// Keeps the page as the binder sees it: takes blocks as they come and changes what differs, so that the
// focus, the scrolling and what is opened stay where they are.
'use strict';

const find = (id) => document.getElementById(id);
const SILENT_MS = 7000; // the binder says something every 2 s
const AGAIN_MS = 2000;

let frame = document.body.dataset.frame;
let ahead = Number(document.body.dataset.now) - performance.now(); // the binder's clock beside ours
let heard = performance.now();
let [source, isLost] = [null, false];

// Makes `have` what `want` is. Left alone: what stands in a container, what is opened or filtered out.
function morph(have, want) {
  if (have.nodeName !== want.nodeName) {
    have.replaceWith(want);
  } else if (have.nodeType !== Node.ELEMENT_NODE) {
    if (have.data !== want.data) have.data = want.data;
  } else {
    for (const { name } of [...have.attributes]) {
      if (!want.hasAttribute(name) && name !== 'open' && name !== 'hidden') have.removeAttribute(name);
    }
    for (const { name, value } of want.attributes) {
      if (have.getAttribute(name) !== value) have.setAttribute(name, value);
    }
    if (have.hasAttribute('data-kept')) return;
    const wanted = [...want.childNodes];
    const had = [...have.childNodes];
    wanted.forEach((child, at) => (at < had.length ? morph(had[at], child) : have.append(child)));
    had.slice(wanted.length).forEach((child) => child.remove());
  }
}

function put([id, within, html]) {
  const template = document.createElement('template');
  template.innerHTML = html;
  const want = template.content.firstElementChild;
  const have = find(id);
  if (have) {
    morph(have, want);
  } else {
    want.classList.add('arrived');
    find(within)?.append(want);
  }
}

// Whoever stands in what goes is led to what is next to it.
function remove(element) {
  if (element.contains(document.activeElement)) {
    const { nextElementSibling: after, previousElementSibling: before } = element;
    const next = (after ?? before)?.querySelector('summary');
    (next ?? find('filter')).focus({ preventScroll: true });
  }
  element.remove();
}

function arrange(within, ids) {
  const container = find(within);
  if (!container) return;
  [...container.children].filter((child) => !ids.includes(child.id)).forEach(remove);
  ids.forEach((id, at) => {
    const child = find(id);
    if (child && container.children[at] !== child) container.insertBefore(child, container.children[at]);
  });
}

function seconds(ms) {
  if (ms >= 60000) return `${Math.floor(ms / 60000)}\u202fmin`;
  return `${(Math.floor(ms / 100) / 10).toFixed(1)}\u202fs`;
}

// A screen reader hears what is written again, if it is the same or not.
function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

// What moves by itself: leases, and how long nothing was heard.
function tick() {
  const silent = performance.now() - heard;
  write(find('lost-for'), `${Math.round(silent / 1000)} s ago`);
  if (!isLost && silent > SILENT_MS) lose();
  if (isLost) return;
  const now = performance.now() + ahead;
  for (const lease of document.querySelectorAll('[data-end]')) {
    const left = lease.dataset.end - now;
    const bar = lease.querySelector('progress');
    const text = lease.querySelector('.left');
    if (bar) bar.value = Math.max(0, left);
    text.textContent = bar ? seconds(Math.max(0, left)) : `ended ${seconds(Math.max(0, -left))} ago`;
  }
}

function say(lost) {
  isLost = lost;
  find('lost').hidden = !lost;
  find('link').className = lost ? 'link lost' : 'link live';
  write(find('link'), lost ? 'Connection lost' : 'Live');
}

function hear(now) {
  heard = performance.now();
  ahead = Number(now) - heard;
  say(false);
}

function lose() {
  source?.close();
  source = null;
  say(true);
  setTimeout(connect, AGAIN_MS);
}

function connect() {
  if (source) return;
  const mine = new EventSource(`/events?after=${encodeURIComponent(frame)}`);
  source = mine;
  mine.onmessage = ({ data }) => {
    const message = JSON.parse(data);
    message.blocks.forEach(put);
    Object.entries(message.order).forEach(([within, ids]) => arrange(within, ids));
    frame = message.frame;
    hear(message.now);
    filter();
    tick();
  };
  mine.addEventListener('beat', ({ data }) => hear(data));
  const fail = () => source === mine && lose();
  mine.onerror = fail;
  setTimeout(() => mine.readyState === EventSource.CONNECTING && fail(), SILENT_MS);
}

function filter() {
  const words = find('filter').value.toLowerCase().split(/\s+/).filter(Boolean);
  let [shown, all] = [0, 0];
  for (const service of document.querySelectorAll('.service')) {
    const rows = [...service.querySelectorAll('tr[data-find]')];
    rows.forEach((row) => { row.hidden = !words.every((word) => row.dataset.find.includes(word)); });
    const left = rows.filter((row) => !row.hidden).length;
    service.hidden = left === 0 && words.length > 0;
    [shown, all] = [shown + left, all + rows.length];
  }
  write(find('found'), words.length > 0 ? `${shown} of ${all} shown` : '');
}

find('filter').addEventListener('input', filter);
setInterval(tick, 250);
connect();
filter();
