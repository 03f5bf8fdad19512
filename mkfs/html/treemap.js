// SPDX-License-Identifier: MIT
// treemap.js - the image as areas, by layer and by tensor.
//
// The layout is that of squarified treemaps (Bruls, Huizing, van Wijk, 2000): rows are filled along
// the shorter side as long as that makes their rectangles more like squares.
'use strict';

// The worst ratio of sides in a row of areas along a side.
function worst(smallest, largest, sum, side) {
	return Math.max(side * side * largest / (sum * sum), sum * sum / (side * side * smallest));
}

// Sets x, y, w, h of items (with size, the largest first) within a box; their sizes fill it.
function squarify(items, box) {
	const total = items.reduce((sum, item) => sum + item.size, 0), factor = box.w * box.h / total;
	let {x, y, w, h} = box, at = 0;
	while (at < items.length) {
		const side = Math.min(w, h);
		let end = at + 1, sum = items[at].size * factor;
		const largest = sum;
		let ratio = worst(sum, largest, sum, side);
		for (; end < items.length; end++) {
			const next = items[end].size * factor, longer = worst(next, largest, sum + next, side);
			if (longer > ratio)
				break;
			ratio = longer;
			sum += next;
		}
		const depth = side > 0 ? sum / side : 0;
		let along = 0;
		for (; at < end; at++) {
			const length = depth > 0 ? items[at].size * factor / depth : 0;
			Object.assign(items[at], w >= h ? {x, y: y + along, w: depth, h: length} : {x: x + along, y, w: length, h: depth});
			along += length;
		}
		if (w >= h) {
			x += depth;
			w -= depth;
		} else {
			y += depth;
			h -= depth;
		}
	}
}

// [{label, items: [{size, kind, label, tensor?, tip}]}]
function mapGroups() {
	const groups = LAYERS.map(layer => ({label: visible(layerName(layer)), layer, items: []}));
	for (const tensor of TENSORS)
		if (tensor.stored)
			groups[tensor.layer].items.push({size: tensor.stored, kind: tensor.as, label: localName(tensor), tensor});
	for (const group of groups) {
		const {layer} = group, shown = group.items.reduce((sum, item) => sum + item.size, 0);
		const rest = layer.uint8 + layer.uint4 + layer.kept + layer.index + layer.padding - shown;
		const label = plural(layer.tensors - group.items.length, 'smaller tensor');
		if (rest > 0)
			group.items.push({size: rest, kind: 'other', label,
				tip: [layerName(layer) + ': ' + label, [['stored', bytes(rest)]]]});
	}
	groups.push({label: 'files and metadata', items: mapMetadata()});
	for (const group of groups) {
		group.items.sort((a, b) => b.size - a.size);
		group.size = group.items.reduce((sum, item) => sum + item.size, 0);
	}
	// Squarifying wants the largest first; of layers about alike, their own order is easier to read.
	const rank = group => Math.round(Math.log2(group.size) * 3);
	return groups.filter(group => group.size).sort((a, b) => rank(b) - rank(a));
}

function mapMetadata() {
	const space = DATA.space, items = [];
	const padding = LAYERS.reduce((sum, layer) => sum - layer.padding, space.padding);
	const stored = LAYERS.reduce((sum, layer) => sum + layer.uint8 + layer.uint4 + layer.kept + layer.index, 0);
	const other = space.payload + space.index - stored;
	let blobs = space.blobs;
	function add(size, kind, label) {
		if (size > 0)
			items.push({size, kind, label,
				tip: [label, [['stored', bytes(size)], ['of the image', percent(size, DATA.image.size, 3)]]]});
	}
	for (const file of records(DATA.files)) {
		add(file.stored, 'blobs', file.path === null ? 'a blob of no file' : visible(file.path));
		blobs -= file.stored;
	}
	add(blobs, 'blobs', 'smaller files');
	add(space.catalog, 'catalog', 'catalog');
	add(space.hash_tree, 'hash_tree', 'hash tree');
	add(space.superblock, 'superblock', 'superblock');
	add(other, 'other', 'streams of no tensor');
	add(padding, 'padding', 'padding');
	return items;
}

// What the middle 98 % of the bytes lie between: small tensors far off must not make all others look
// alike.
function mapEnds(tensors, value) {
	const sorted = [...tensors].sort((a, b) => value(a) - value(b));
	const total = sorted.reduce((sum, tensor) => sum + tensor.stored, 0);
	let sum = 0, low, high;
	for (const tensor of sorted) {
		sum += tensor.stored;
		if (low === undefined && sum >= total * .01)
			low = value(tensor);
		if (high === undefined && sum >= total * .99)
			high = value(tensor);
	}
	return [low, high];
}

// How strong a tensor's colour is, 0 to 1 between the ends of what occurs; null: does not apply.
function mapScale(what) {
	const value = {
		bits: tensor => tensor.weights ? tensor.bits : null,
		above: tensor => tensor.above,
		sqnr: tensor => tensor.quantized ? tensor.sqnr : null,
	}[what];
	const [low, high] = mapEnds(TENSORS.filter(tensor => tensor.stored && value(tensor) !== null), value);
	const flip = what === 'sqnr';
	return {
		value, low, high, flip,
		strength: tensor => {
			const number = value(tensor);
			if (number === null || low === undefined)
				return null;
			const t = high > low ? Math.min(1, Math.max(0, (number - low) / (high - low))) : .5;
			return flip ? 1 - t : t;
		},
	};
}

// Of a name that is too long, the end tells most, but for what all names of tensors end in.
function fitText(label, width, separator) {
	const room = Math.floor((width - 8) / 6.3);
	if (label.length <= room)
		return label;
	const parts = label.replace(/\.weight$/, '').split(separator);
	while (parts.length > 1 && parts.join(separator).length > room)
		parts.shift();
	const rest = parts.join(separator);
	return rest.length <= room ? rest : room >= 6 ? rest.slice(0, room - 1) + '\u2026' : '';
}

function drawTile(item, scaled) {
	const strength = scaled && item.tensor ? scaled.strength(item.tensor) : null;
	const rect = svg('rect', {class: `tile-rect ${item.kind} ${strength === null ? 'none' : 'has'}`,
		x: item.x.toFixed(2), y: item.y.toFixed(2), width: item.w.toFixed(2), height: item.h.toFixed(2)});
	if (strength !== null)
		rect.style.setProperty('--t', strength.toFixed(3));
	const parts = [rect];
	if (item.tensor && item.tensor.damaged)
		parts.push(svg('rect', {class: 'bad-mark', x: item.x + 2, y: item.y + 2, width: Math.max(0, item.w - 4),
			height: Math.max(0, item.h - 4)}));
	const label = item.h >= 18 ? fitText(item.label, item.w, item.tensor ? '.' : '/') : '';
	const on = 'on' + (strength > .58 ? ' high' : strength > .42 ? ' middle' : '');
	if (label)
		parts.push(svg('text', {class: on, x: item.x + 5, y: item.y + 14}, label));
	if (label && item.h >= 34 && item.w >= 62)
		parts.push(svg('text', {class: on, x: item.x + 5, y: item.y + 28}, bytes(item.size)));
	return parts;
}

// Draws a group and puts its tiles in place.
function drawGroup(group, scaled) {
	const title = group.h >= 46 && group.w >= 46 ? fitText(group.label, group.w, '.') : '', head = title ? 17 : 0;
	const inside = {x: group.x + 2, y: group.y + 1 + head, w: Math.max(0, group.w - 4),
		h: Math.max(0, group.h - 3 - head)};
	squarify(group.items, inside);
	const parts = [svg('rect', {class: 'group-rect', x: group.x, y: group.y, width: group.w, height: group.h, rx: 3})];
	if (head)
		parts.push(svg('text', {class: 'group', x: group.x + 5, y: group.y + 13}, title));
	return [...parts, ...group.items.flatMap(item => drawTile(item, scaled))];
}

function showMapLegend(what, scaled) {
	const box = byId('map-legend');
	if (!scaled) {
		const present = new Set(kinds().filter(row => row[3]).map(row => row[0]));
		const all = [...usedGroups().map(group => [group, group]), ['blobs', 'files and headers'],
			['catalog', 'catalog'], ['hash_tree', 'hash tree'], ['superblock', 'superblock']];
		box.replaceChildren(...legend(all.filter(entry => present.has(entry[0]))));
		return;
	}
	if (scaled.low === undefined) {
		box.replaceChildren('No tensor has this figure.');
		return;
	}
	const unit = what === 'sqnr' ? ' dB' : ' bits', digits = what === 'sqnr' ? 1 : 2;
	const ends = [fixed(scaled.low, digits) + unit, fixed(scaled.high, digits) + unit];
	if (scaled.flip)
		ends.reverse();
	box.replaceChildren(el('span', {class: 'scale'}, ends[0], el('span', {class: 'ramp'}), ends[1]),
		'for 98 % of the bytes; grey: does not apply');
}

function drawMap(element, what, width) {
	const height = width < 600 ? 480 : 520, scaled = what === 'as' ? null : mapScale(what);
	const groups = mapGroups();
	squarify(groups, {x: 0, y: 0, w: width, h: height});
	const parts = groups.flatMap(group => drawGroup(group, scaled)), items = groups.flatMap(group => group.items);
	const ring = svg('rect', {class: 'current', visibility: 'hidden'});
	const drawing = svg('svg', {width, height, role: 'application', 'aria-roledescription': 'treemap', tabindex: 0,
		'aria-label': 'Stored bytes of ' + plural(DATA.contents.tensors, 'tensor') + ' in ' + plural(LAYERS.length, 'layer') +
			'; the table of tensors below has the same figures'}, parts, ring);
	explorable(drawing, {
		items,
		at: (x, y) => items.find(item => x >= item.x && x < item.x + item.w && y >= item.y && y < item.y + item.h) || null,
		mark: item => {
			ring.setAttribute('visibility', item ? 'visible' : 'hidden');
			if (!item)
				return null;
			fill(ring, {x: item.x, y: item.y, width: item.w, height: item.h}, []);
			return {x: item.x + item.w / 2, y: item.y + item.h / 2};
		},
		tip: (item, place) => item.tensor ? tensorTip(item.tensor, place) : showTip(...item.tip, place),
		open: item => item.tensor && openDetail(item.tensor),
	});
	element.classList.toggle('scaled', scaled !== null);
	element.replaceChildren(drawing);
	showMapLegend(what, scaled);
}

function showMap() {
	const element = byId('map'), choice = byId('map-colour');
	let last = 0;
	drawFitting(element, width => drawMap(element, choice.value, last = width));
	choice.addEventListener('change', () => drawMap(element, choice.value, last));
}
