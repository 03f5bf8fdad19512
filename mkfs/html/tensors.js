// SPDX-License-Identifier: MIT
// tensors.js - the table of tensors: sorting, filtering, and no more rows at once than are good.
'use strict';

const ROWS_FIRST = 100, ROWS_MORE = 400;

// key: what to sort by, null for nothing; numbers start with the largest
const COLUMNS = [
	{label: 'Tensor', key: tensor => tensor.name, class: 'name', text: true},
	{label: 'As', key: tensor => tensor.as, text: true, narrow: true},
	{label: 'Source', key: tensor => tensor.dtype, text: true, narrow: true},
	{label: 'Shape', key: tensor => tensor.weights, class: 'n', narrow: true},
	{label: 'Stored', key: tensor => tensor.stored, class: 'n'},
	{label: 'Bits', title: 'bits per weight, tables, checksums and padding included', key: tensor => tensor.bits,
		class: 'n'},
	{label: 'Entropy', title: 'bits per weight', key: tensor => tensor.entropy, class: 'n', narrow: true},
	{label: 'Above', title: 'bits per weight more than the entropy, in percent of it', key: relative, class: 'n',
		narrow: true},
	{label: 'dB', title: 'signal to quantization noise', key: tensor => tensor.quantized ? tensor.sqnr ?? Infinity : null,
		class: 'n'},
	{label: 'Largest error', key: tensor => tensor.quantized ? tensor.max_error ?? Infinity : null, class: 'n',
		narrow: true},
	{label: 'Codes', key: null},
];
const TABLE = {sort: 4, up: false, limit: ROWS_FIRST, found: TENSORS};

function relative(tensor) {
	return tensor.above === null || !tensor.entropy ? null : tensor.above / tensor.entropy;
}

function cells(tensor) {
	const above = relative(tensor), damaged = tensor.damaged ? [' ', el('span', {class: 'tag bad'}, 'damaged')] : null;
	const noise = tensor.sqnr === null ? 'exact' : fixed(tensor.sqnr, 2);
	return [
		[openButton(tensor, breakable(tensor.name)), damaged], el('span', {class: 'tag ' + tensor.as}, tensor.as),
		tensor.dtype, shape(tensor), bytes(tensor.stored),
		tensor.weights ? fixed(tensor.bits, 3) : NONE, tensor.weights ? fixed(tensor.entropy, 3) : NONE,
		above === null ? NONE : percent(above, 1), tensor.quantized ? noise : NONE,
		tensor.quantized ? largestError(tensor) : NONE, spark(tensor)];
}

function columnClass(column) {
	return [column.class, column.narrow ? 'hide-narrow' : null].filter(name => name).join(' ') || null;
}

// Equal ones stay in the order of their size; what does not apply is last.
function compare(a, b) {
	const {key, text} = COLUMNS[TABLE.sort], left = key(a), right = key(b);
	if (left === null || right === null)
		return (left === null) - (right === null) || a.number - b.number;
	const order = text ? BY_NAME.compare(left, right) : left < right ? -1 : left > right ? 1 : 0;
	return (TABLE.up ? order : -order) || a.number - b.number;
}

function shownTensors() {
	return TABLE.found;
}

function updateTable() {
	const words = byId('filter').value.toLowerCase().split(/\s+/).filter(word => word);
	const as = byId('filter-as').value;
	TABLE.found = TENSORS.filter(tensor => (as === '' || (as === 'damaged' ? tensor.damaged : tensor.as === as)) &&
		words.every(word => tensor.name.toLowerCase().includes(word))).sort(compare);
	drawRows();
}

function drawRows() {
	const {found, limit} = TABLE, left = found.length - limit;
	const stored = found.reduce((sum, tensor) => sum + tensor.stored, 0);
	byId('found').value = (found.length === TENSORS.length ? '' : whole(found.length) + ' of ') +
		plural(TENSORS.length, 'tensor') + ', ' + bytes(stored);
	byId('tensors').querySelector('tbody').replaceChildren(...found.slice(0, limit).map(tensor => el('tr', {},
		cells(tensor).map((cell, i) => el('td', {class: columnClass(COLUMNS[i])}, cell)))));
	byId('more').hidden = left <= 0;
	byId('more-some').textContent = 'Show ' + whole(Math.min(left, ROWS_MORE)) + ' more';
	byId('more-all').textContent = 'Show all ' + whole(found.length);
	byId('more-all').hidden = left <= ROWS_MORE;
}

function sortBy(number) {
	TABLE.up = TABLE.sort === number ? !TABLE.up : Boolean(COLUMNS[number].text);
	TABLE.sort = number;
	showOrder();
	updateTable();
}

function showOrder() {
	byId('tensors').querySelectorAll('thead th').forEach((head, i) => {
		if (i === TABLE.sort)
			head.setAttribute('aria-sort', TABLE.up ? 'ascending' : 'descending');
		else
			head.removeAttribute('aria-sort');
	});
}

// From elsewhere in the page.
function filterTensors(words) {
	byId('filter').value = words;
	TABLE.limit = ROWS_FIRST;
	updateTable();
	byId('tensors-title').scrollIntoView();
	byId('filter').focus({preventScroll: true});
}

function noteLimits() {
	const total = DATA.contents.tensors, notes = [];
	if (TENSORS.length < total)
		notes.push(`Only the ${whole(TENSORS.length)} tensors that take the most bytes are listed; the other ` +
			`${whole(total - TENSORS.length)} are in all sums.`);
	if (HISTOGRAMS.counted && HISTOGRAMS.width > 1 && TENSORS.some(tensor => tensor.counts && tensor.as !== 'uint4'))
		notes.push(`With so many tensors, a bar of a histogram adds up ${HISTOGRAMS.width} codes.`);
	if (!HISTOGRAMS.counted)
		notes.push('Codes were not counted.');
	byId('tensors-note').textContent = notes.join(' ');
	byId('tensors-note').hidden = !notes.length;
}

function showTensors() {
	const kinds_ = [['', 'all'], ...usedGroups().map(group => [group, group])];
	if (TENSORS.some(tensor => tensor.damaged))
		kinds_.push(['damaged', 'damaged']);
	byId('filter-as').append(...kinds_.map(([value, label]) => el('option', {value}, label)));
	byId('tensors').append(el('table', {}, el('thead', {}, el('tr', {}, COLUMNS.map((column, i) =>
		el('th', {scope: 'col', class: columnClass(column), title: column.title},
			column.key ? el('button', {type: 'button', onclick: () => sortBy(i)}, column.label) : column.label)))),
	el('tbody')));
	for (const id of ['filter', 'filter-as'])
		byId(id).addEventListener('input', () => {
			TABLE.limit = ROWS_FIRST;
			updateTable();
		});
	byId('more-some').addEventListener('click', () => {
		TABLE.limit += ROWS_MORE;
		drawRows();
	});
	byId('more-all').addEventListener('click', () => {
		TABLE.limit = Infinity;
		drawRows();
	});
	noteLimits();
	showOrder();
	updateTable();
}
