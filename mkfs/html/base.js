// SPDX-License-Identifier: MIT
// base.js - the data, numbers and names for a person, and elements. The other files build on it.
//
// Names are hostile: they reach the document as text nodes only, never as markup.
'use strict';

const DATA = JSON.parse(document.getElementById('data').textContent);
const GROUPS = ['uint8', 'uint4', 'kept'];

// Rows of a table in the data, as objects.
function records(table) {
	return table.rows.map(row => Object.fromEntries(table.columns.map((column, i) => [column, row[i]])));
}

const LAYERS = records(DATA.layers);
const TENSORS = records(DATA.tensors);
const HISTOGRAMS = DATA.histograms;

TENSORS.forEach((tensor, i) => {
	tensor.number = i;
	tensor.stored = tensor.payload + tensor.index + tensor.padding;
	tensor.bits = tensor.weights ? tensor.stored * 8 / tensor.weights : 0;
	tensor.above = tensor.weights ? tensor.bits - tensor.entropy : null;
	tensor.quantized = tensor.as !== 'kept';
	tensor.counts = HISTOGRAMS.rows[i] || null;
});

// --- numbers ---

const NONE = '\u2013';

// To make a formatter takes a hundred times as long as to use it.
const WHOLE = new Intl.NumberFormat('en'), SHORT = new Intl.NumberFormat('en', {maximumSignificantDigits: 3});
const FIXED = Array.from({length: 5}, (_, digits) =>
	new Intl.NumberFormat('en', {minimumFractionDigits: digits, maximumFractionDigits: digits}));
const BY_NAME = new Intl.Collator('en', {numeric: true});

function whole(number) {
	return WHOLE.format(number);
}

function fixed(number, digits) {
	return FIXED[digits].format(number);
}

// Three significant digits, in the form that is shortest to read.
function short(number) {
	const size = Math.abs(number);
	if (size === 0)
		return '0';
	if (size >= 1e6 || size < 1e-4)
		return number.toExponential(2).replace('e', '\u00d710^').replace('^+', '^')
			.replace(/\^(-?)(\d+)/, (_, sign, digits) => (sign ? '\u207b' : '') +
				[...digits].map(digit => '\u2070\u00b9\u00b2\u00b3\u2074\u2075\u2076\u2077\u2078\u2079'[digit]).join(''));
	return SHORT.format(number);
}

function bytes(number) {
	const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB', 'EiB'];
	let unit = 0;
	while (number >= 1023.95 && unit < units.length - 1) {
		number /= 1024;
		unit++;
	}
	return (unit ? fixed(number, number < 99.95 ? 2 : 1) : whole(number)) + ' ' + units[unit];
}

function percent(part, of, digits = 1) {
	return of ? fixed(part * 100 / of, digits) + ' %' : NONE;
}

function plural(number, one, many = one + 's') {
	return whole(number) + ' ' + (number === 1 ? one : many);
}

function decibels(tensor) {
	if (!tensor.quantized)
		return 'kept';
	return tensor.sqnr === null ? 'exact' : fixed(tensor.sqnr, 2) + ' dB';
}

function largestError(tensor) {
	return tensor.max_error === null ? '\u221e' : short(tensor.max_error);
}

function shape(tensor) {
	return tensor.shape.length ? tensor.shape.join(' \u00d7 ') : 'scalar';
}

// --- names ---

// Control characters as pictures, and what would turn the direction of text as a replacement.
function visible(name) {
	return name.replace(/[\u0000-\u001f]/g, c => String.fromCharCode(0x2400 + c.charCodeAt(0)))
		.replace(/\u007f/g, '\u2421')
		.replace(/[\u0080-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g, '\ufffd');
}

// A name that may be broken behind its dots.
function breakable(name) {
	const parts = visible(name).split(/(?<=[./_])/);
	return parts.flatMap((part, i) => i ? [el('wbr'), part] : [part]);
}

function layerName(layer) {
	return layer.name === null ? plural(layer.merged, 'other layer') : layer.name;
}

// What a tensor is called within its layer.
function localName(tensor) {
	const layer = LAYERS[tensor.layer].name;
	const rest = layer !== null && tensor.name.startsWith(layer) ? tensor.name.slice(layer.length + 1) : '';
	return visible(rest || tensor.name);
}

// --- elements ---

function fill(element, attributes, children) {
	for (const [name, value] of Object.entries(attributes)) {
		if (name.startsWith('on'))
			element.addEventListener(name.slice(2), value);
		else if (value === true)
			element.setAttribute(name, '');
		else if (value !== false && value !== null && value !== undefined)
			element.setAttribute(name, value);
	}
	element.append(...children.flat().filter(child => child !== null && child !== undefined));
	return element;
}

function el(name, attributes = {}, ...children) {
	return fill(document.createElement(name), attributes, children);
}

function svg(name, attributes = {}, ...children) {
	return fill(document.createElementNS('http://www.w3.org/2000/svg', name), attributes, children);
}

function byId(id) {
	return document.getElementById(id);
}

function swatch(kind) {
	return el('span', {class: 'swatch ' + kind});
}

function legend(entries) {
	return entries.map(([kind, label]) => el('span', {}, swatch(kind), label));
}

// The encodings that occur, for legends.
function usedGroups() {
	return GROUPS.filter(group => DATA.totals[group].tensors);
}

// Draws as soon as the element has a size, and whenever its width has changed. Sizes come from the
// observer: to ask the element would lay out the whole page again, once for each drawing.
function drawFitting(element, draw) {
	let size = {width: 0, height: 0}, drawn = 0;
	function update() {
		if (Math.floor(size.width) === drawn || size.width < 50)
			return;
		drawn = Math.floor(size.width);
		draw(drawn, size.height);
	}
	new ResizeObserver(entries => {
		size = entries[entries.length - 1].contentRect;
		requestAnimationFrame(update);
	}).observe(element);
}

// --- the tip beside the pointer ---

const TIP = byId('tip');

// rows: [label, value]; at: client coordinates
function showTip(title, rows, at) {
	TIP.replaceChildren(el('b', {}, visible(title)),
		el('table', {}, rows.map(([label, value]) => el('tr', {}, el('td', {}, label), el('td', {}, value)))));
	TIP.hidden = false;
	const box = TIP.getBoundingClientRect();
	const room = {x: document.documentElement.clientWidth, y: document.documentElement.clientHeight};
	const x = at.x + 14 + box.width < room.x ? at.x + 14 : Math.max(4, at.x - 14 - box.width);
	const y = at.y + 14 + box.height < room.y ? at.y + 14 : Math.max(4, at.y - 14 - box.height);
	TIP.style.setProperty('left', Math.min(x, Math.max(4, room.x - box.width - 4)) + 'px');
	TIP.style.setProperty('top', y + 'px');
}

// The same for who hears it.
function saidTip() {
	return TIP.querySelector('b').textContent + ': ' +
		[...TIP.querySelectorAll('tr')].map(row => [...row.cells].map(cell => cell.textContent).join(' ')).join(', ');
}

function hideTip() {
	TIP.hidden = true;
}

function tensorTip(tensor, at) {
	const rows = [['stored', bytes(tensor.stored)], ['of the image', percent(tensor.stored, DATA.image.size, 2)],
		['encoding', tensor.as + ' of ' + tensor.dtype], ['shape', shape(tensor)]];
	if (tensor.weights)
		rows.push(['bits per weight', fixed(tensor.bits, 3)], ['entropy', fixed(tensor.entropy, 3)]);
	if (tensor.quantized)
		rows.push(['signal to noise', decibels(tensor)], ['largest error', largestError(tensor)]);
	if (tensor.damaged)
		rows.push(['damaged', 'yes']);
	showTip(tensor.name, rows, at);
}

// A tip for an element, by pointer; text() is [title, rows].
function withTip(element, text) {
	element.addEventListener('pointermove', event => showTip(...text(), {x: event.clientX, y: event.clientY}));
	element.addEventListener('pointerleave', hideTip);
	return element;
}

addEventListener('scroll', hideTip, {passive: true, capture: true});
