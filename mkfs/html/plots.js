// SPDX-License-Identifier: MIT
// plots.js - scatter plots of tensors, and how drawings are walked through by pointer and keyboard.
'use strict';

// Lets a drawing be explored. at(x, y): the item there or null; items: in the order of the arrow
// keys; mark(item): shows which one is meant, null none, and returns its place in the drawing.
function explorable(drawing, {items, at, mark, tip, open}) {
	let current = null;
	function choose(item, place) {
		current = item;
		const where = mark(item);
		if (item === null) {
			hideTip();
			return;
		}
		const box = drawing.getBoundingClientRect();
		tip(item, place || {x: box.left + where.x, y: box.top + where.y});
		if (!place)
			byId('said').textContent = saidTip();
	}
	function under(event) {
		const box = drawing.getBoundingClientRect();
		return at(event.clientX - box.left, event.clientY - box.top);
	}
	drawing.addEventListener('pointermove', event => choose(under(event), {x: event.clientX, y: event.clientY}));
	drawing.addEventListener('pointerleave', () => choose(null));
	drawing.addEventListener('blur', () => choose(null));
	drawing.addEventListener('click', event => {
		const item = under(event);
		if (item !== null)
			open(item);
	});
	drawing.addEventListener('keydown', event => {
		const step = {ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1}[event.key];
		if (event.key === 'Enter' && current !== null) {
			open(current);
		} else if (event.key === 'Escape' && current !== null) {
			choose(null);
		} else if (step && items.length) {
			const from = current !== null ? items.indexOf(current) : step > 0 ? -1 : items.length;
			choose(items[Math.min(items.length - 1, Math.max(0, from + step))]);
		} else {
			return;
		}
		event.preventDefault();
	});
}

// Values between low and high that are good to read.
function linearTicks(low, high, count) {
	const raw = (high - low) / count, power = 10 ** Math.floor(Math.log10(raw));
	const step = [1, 2, 5, 10].map(factor => factor * power).find(size => size >= raw);
	const ticks = [];
	for (let i = Math.ceil(low / step - 1e-9); i * step <= high + step * 1e-9; i++)
		ticks.push(i * step);
	return ticks;
}

function logTicks(low, high, count) {
	const first = Math.ceil(Math.log10(low) - 1e-9), last = Math.floor(Math.log10(high) + 1e-9);
	if (last - first < 2) {
		const ticks = [];
		for (let power = first - 1; power <= last + 1; power++)
			for (const factor of [1, 2, 5])
				if (factor * 10 ** power >= low * .999 && factor * 10 ** power <= high * 1.001)
					ticks.push(factor * 10 ** power);
		return ticks;
	}
	const step = Math.ceil((last - first + 1) / count);
	return Array.from({length: Math.floor((last - first) / step) + 1}, (_, i) => 10 ** (first + i * step));
}

// Powers of two, or fewer, or what is halfway, too.
function bitTicks(low, high) {
	const doublings = Math.log2(high / low), ticks = [];
	for (let power = Math.ceil(Math.log2(low) - 1); power <= Math.log2(high); power++) {
		if (doublings < 7 || power % 2 === 0)
			ticks.push(2 ** power);
		if (doublings < 3.5)
			ticks.push(1.5 * 2 ** power);
	}
	return ticks.filter(tick => tick >= low && tick <= high);
}

// axis: {low, high, log, around, ticks?}; pixels from start to end. around: logarithmic on both sides
// of 0, but for the neighbourhood of 0 of about that size.
function scale(axis, start, end) {
	const map = axis.log ? Math.log : axis.around ? value => Math.asinh(value / axis.around) : value => value;
	const low = map(axis.low), span = map(axis.high) - low || 1;
	return value => start + (map(Math.min(axis.high, Math.max(axis.low, value))) - low) / span * (end - start);
}

// An axis around values, with room at both ends.
function axisFor(values, log, floor) {
	let low = Infinity, high = -Infinity;
	for (const value of values) {
		low = Math.min(low, value);
		high = Math.max(high, value);
	}
	if (log)
		return {low: Math.max(low, floor) / 1.4, high: Math.max(high, floor) * 1.4, log};
	const room = (high - low) * .08 || 1;
	return {low: Math.max(floor, low - room), high: high + room, log};
}

// Most tensors are a little above their entropy, tiny ones far, and some below it.
function aboveAxis(tensors) {
	const values = tensors.map(tensor => tensor.above), around = .01;
	const axis = {low: Math.min(...values, 0) * 1.8, high: Math.max(...values, around) * 1.5, around};
	return {...axis, ticks: aroundTicks(axis)};
}

function dotSize(tensor, most) {
	return 2.5 + 8 * Math.sqrt(tensor.weights / most);
}

// Powers of ten on both sides of 0.
function aroundTicks({low, high, around}) {
	const ticks = low <= 0 && high >= 0 ? [0] : [];
	for (let size = around; size <= Math.max(-low, high); size *= 10)
		ticks.push(size, -size);
	return ticks.filter(tick => tick >= low && tick <= high);
}

function ticksOf(axis, count) {
	return axis.ticks || (axis.log ? logTicks : linearTicks)(axis.low, axis.high, count);
}

// Grid, ticks and labels.
function drawAxes(box, x, y, plot) {
	const parts = [];
	for (const tick of ticksOf(plot.x.axis, 4))
		parts.push(svg('line', {class: 'grid', x1: x(tick), x2: x(tick), y1: box.top, y2: box.bottom}),
			svg('text', {x: x(tick), y: box.bottom + 15, 'text-anchor': 'middle'}, plot.x.format(tick)));
	for (const tick of ticksOf(plot.y.axis, 5))
		parts.push(svg('line', {class: tick === 0 ? 'grid nought' : 'grid', x1: box.left, x2: box.right, y1: y(tick),
			y2: y(tick)}),
			svg('text', {x: box.left - 6, y: y(tick) + 4, 'text-anchor': 'end'}, plot.y.format(tick)));
	parts.push(svg('text', {class: 'axis', x: box.right, y: box.bottom + 31, 'text-anchor': 'end'},
		plot.x.label + ' \u2192'),
		svg('text', {class: 'axis', x: box.left - 36, y: box.top - 10}, '\u2191 ' + plot.y.label));
	return parts;
}

// Below the line where both axes are equal: a single code table cannot get there, several may.
function drawFloor(box, x, y, low, high) {
	const corner = `${x(low)},${y(low)}`, end = `${x(high)},${y(high)}`;
	return [svg('polygon', {class: 'floor', points: `${corner} ${end} ${x(high)},${box.bottom} ${corner}`}),
		svg('line', {class: 'diagonal', x1: x(low), y1: y(low), x2: x(high), y2: y(high)})];
}

function drawPlot(element, plot, width, height) {
	const box = {left: 40, right: width - 10, top: 24, bottom: height - 38};
	const x = scale(plot.x.axis, box.left, box.right), y = scale(plot.y.axis, box.bottom, box.top);
	const most = Math.max(...plot.tensors.map(tensor => tensor.weights), 1);
	const dots = plot.tensors.map(tensor => ({tensor, x: x(plot.x.value(tensor)), y: y(plot.y.value(tensor)),
		r: dotSize(tensor, most)})).sort((a, b) => b.r - a.r);
	const ring = svg('circle', {class: 'current', visibility: 'hidden'});
	const drawing = svg('svg', {width, height, role: 'application', 'aria-roledescription': 'scatter plot', tabindex: 0,
		'aria-label': plot.summary},
		drawAxes(box, x, y, plot), plot.floor ? drawFloor(box, x, y, plot.x.axis.low, plot.x.axis.high) : [],
		dots.map(dot => svg('circle', {class: 'dot ' + dot.tensor.as + (dot.tensor.damaged ? ' bad' : ''),
			cx: dot.x.toFixed(1), cy: dot.y.toFixed(1), r: dot.r.toFixed(1)})), ring);
	explorable(drawing, {
		items: [...dots].sort((a, b) => a.x - b.x),
		at: (px, py) => {
			let best = null, distance = 14;
			for (const dot of dots) {
				const d = Math.max(0, Math.hypot(dot.x - px, dot.y - py) - dot.r);
				if (d < distance || (d === 0 && best && dot.r < best.r)) {
					best = dot;
					distance = d;
				}
			}
			return best;
		},
		mark: dot => {
			ring.setAttribute('visibility', dot ? 'visible' : 'hidden');
			if (dot)
				fill(ring, {cx: dot.x, cy: dot.y, r: dot.r + 2}, []);
			return dot;
		},
		tip: (dot, place) => tensorTip(dot.tensor, place),
		open: dot => openDetail(dot.tensor),
	});
	element.replaceChildren(drawing);
}

function showPlot(id, plot, otherwise) {
	const element = byId(id);
	if (!plot.tensors.length) {
		element.append(el('p', {class: 'empty'}, otherwise));
		return;
	}
	drawFitting(element, (width, height) => drawPlot(element, plot, width, height));
}

function showPlots() {
	byId('plots-legend').append(...legend(usedGroups().map(group => [group, group])));
	const some = TENSORS.filter(tensor => tensor.weights);
	byId('plots-below').hidden = !some.some(tensor => tensor.above < 0 && tensor.tables > 1);
	const both = axisFor(some.flatMap(tensor => [tensor.entropy, tensor.bits]), true, .1);
	both.ticks = bitTicks(both.low, both.high);
	showPlot('plot-bits', {
		tensors: some, floor: true,
		x: {axis: both, value: tensor => tensor.entropy, label: 'entropy', format: String},
		y: {axis: both, value: tensor => tensor.bits, label: 'bits per weight, all included', format: String},
		summary: 'Bits per weight against entropy of ' + plural(some.length, 'tensor'),
	}, 'There are no weights.');
	const sizes = axisFor(some.map(tensor => tensor.weights), true, 1);
	showPlot('plot-above', {
		tensors: some,
		x: {axis: sizes, value: tensor => tensor.weights, label: 'weights', format: tickCount},
		y: {axis: aboveAxis(some), value: tensor => tensor.above, label: 'bits per weight more than the entropy',
			format: short},
		summary: 'Bits above the entropy, by the number of weights',
	}, 'There are no weights.');
	const noisy = some.filter(tensor => tensor.quantized && tensor.sqnr !== null && tensor.max_error > 0);
	showPlot('plot-error', {
		tensors: noisy,
		x: {axis: axisFor(noisy.map(tensor => tensor.max_error), true, 1e-30), value: tensor => tensor.max_error,
			label: 'largest error of a weight', format: short},
		y: {axis: axisFor(noisy.map(tensor => tensor.sqnr), false, -1e9), value: tensor => tensor.sqnr,
			label: 'signal to noise, dB', format: tick => fixed(tick, 0)},
		summary: 'Signal-to-noise ratio against the largest error of ' + plural(noisy.length, 'quantized tensor'),
	}, 'Nothing is quantized, or everything is exact.');
}

function tickCount(number) {
	const units = [[1e9, 'G'], [1e6, 'M'], [1e3, 'k']];
	const unit = units.find(([size]) => number >= size);
	return unit ? short(number / unit[0]) + unit[1] : short(number);
}
