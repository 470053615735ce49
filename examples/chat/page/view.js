// The page: everything that touches the document. What people have written only ever becomes text, never markup.

const MOST = 500; // messages in the document
const TOGETHER = 5 * 60_000; // messages of one author within this time share a heading

const $ = (id) => document.getElementById(id);
const messages = $('messages');
const text = $('text');

function make(tag, className, content = '') {
  const element = document.createElement(tag);
  element.className = className;
  element.textContent = content;
  return element;
}

// Everybody has a colour, the same one on every page.
function coloured(element, name) {
  let hue = 0;
  for (const c of name) hue = (hue * 31 + c.codePointAt(0)) % 360;
  element.style.setProperty('--hue', hue);
  return element;
}

function badge(name) {
  return coloured(make('span', 'badge', [...name][0].toUpperCase()), name);
}

export function showState(state, reason) {
  $('state').dataset.state = state;
  $('state').textContent = state;
  $('state').title = reason;
  for (const form of ['login', 'composer']) $(form).querySelector('button').disabled = state !== 'open';
}

export function notice(content) {
  $('notice').textContent = content;
  $('notice').hidden = content === '';
}

export function showUser(name) {
  const was = $('chat').hidden;
  $('door').hidden = name !== '';
  $('chat').hidden = $('me').hidden = name === '';
  $('me').querySelector('.name').textContent = name;
  if (was === (name === '')) return;
  (name ? text : $('name')).focus();
}

export function showRooms(rooms, enter) {
  $('rooms').replaceChildren(...rooms.map((room) => {
    const button = make('button', 'room', room.name);
    button.type = 'button';
    button.dataset.room = room.name;
    button.append(make('span', 'count'));
    button.addEventListener('click', () => enter(room.name));
    const item = make('li', '');
    item.append(button);
    return item;
  }));
  rooms.forEach(showCount);
  mark($('title').textContent);
}

const roomButtons = () => [...$('rooms').querySelectorAll('button')];

// Counts may overtake each other as lists of people do.
export function showCount({ name, change, people }) {
  const button = roomButtons().find((b) => b.dataset.room === name);
  if (!button || Number(button.dataset.change ?? -1) > change) return;
  button.dataset.change = change;
  const count = button.querySelector('.count');
  count.textContent = people || '';
  count.title = `${people} here`;
}

export function showRoom(name) {
  $('title').textContent = name;
  text.placeholder = `Say something in ${name}`;
  messages.replaceChildren();
  showPeople([]);
  mark(name);
}

function mark(name) {
  for (const button of roomButtons()) button.setAttribute('aria-current', String(button.dataset.room === name));
}

export function showPeople(names) {
  const sorted = [...names].sort((a, b) => a.localeCompare(b));
  $('people').replaceChildren(...sorted.map((name) => {
    const item = make('li', '');
    item.append(badge(name), make('span', 'name', name));
    return item;
  }));
}

export function showTyping(names) {
  $('typing').textContent = names.length === 0 ? ''
    : names.length > 3 ? 'Many are typing …'
    : `${names.join(', ')} ${names.length === 1 ? 'is' : 'are'} typing …`;
}

// Messages stand in the order of their ids, each one once. Nearly always the new one is the last.
export function showMessage(message, mine) {
  const atEnd = messages.scrollHeight - messages.scrollTop - messages.clientHeight < 60;
  let before = messages.lastElementChild;
  while (before && Number(before.dataset.id) > message.id) before = before.previousElementSibling;
  if (before && Number(before.dataset.id) === message.id) return;
  const item = line(message, mine);
  messages.insertBefore(item, before ? before.nextElementSibling : messages.firstElementChild);
  group(item);
  if (item.nextElementSibling) group(item.nextElementSibling);
  if (messages.children.length > MOST) messages.firstElementChild.remove();
  if (atEnd || mine) messages.scrollTop = messages.scrollHeight;
}

function line({ id, from, text: said, at }, mine) {
  const time = new Date(at);
  const item = coloured(make('li', mine ? 'message mine' : 'message'), from);
  Object.assign(item.dataset, { id, from, at });
  const when = make('time', '', time.toLocaleTimeString([], { hour: '2-digit', minute: '2-digit' }));
  when.dateTime = time.toISOString();
  const heading = make('div', 'heading');
  heading.append(make('span', 'name', from), when);
  item.append(badge(from), heading, make('p', 'said', said));
  return item;
}

function group(item) {
  const above = item.previousElementSibling;
  const joined = above && above.dataset.from === item.dataset.from && item.dataset.at - above.dataset.at < TOGETHER;
  item.classList.toggle('joined', Boolean(joined));
}

export function onLogin(login) {
  $('login').addEventListener('submit', (event) => {
    event.preventDefault();
    login($('name').value.trim());
  });
}

export function onLogout(logout) {
  $('logout').addEventListener('click', logout);
}

export function onInput(input) {
  text.addEventListener('input', () => {
    fit();
    input();
  });
}

export function onSend(send) {
  $('composer').addEventListener('submit', (event) => {
    event.preventDefault();
    const said = text.value.trim();
    if (!said) return;
    text.value = '';
    fit();
    send(said);
  });
  text.addEventListener('keydown', (event) => {
    if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    $('composer').requestSubmit();
  });
}

// giveBack returns a message that could not be sent, unless the next one has been begun.
export function giveBack(said) {
  if (!text.value) text.value = said;
  fit();
}

// The composer is as high as its text.
function fit() {
  text.style.height = 'auto';
  text.style.height = `${text.scrollHeight + 2}px`;
}
