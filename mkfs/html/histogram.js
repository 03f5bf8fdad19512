// SPDX-License-Identifier: MIT
// histogram.js - how often each code occurs in a tensor, small and large, and all of its figures.
'use strict';

// Bars as one path, with a gap between them. Narrow bars have none: seams would show as stripes.
function barPath(counts, left, step, bottom, y) {
	const gap = step > 4 ? 1 : 0;
	let path = '', open = false;
	counts.forEach((count, i) => {
		const start = left + i * step;
		if (!count || gap)
			path += open ? `V${bottom}` : '';
		if (!count)
			open = false;
		else {
			path += open && !gap ? '' : `M${start.toFixed(2)} ${bottom}`;
			path += `V${Math.min(y(count), bottom - .7).toFixed(2)}H${(start + step - gap).toFixed(2)}`;
			open = true;
		}
	});
	return path + (open ? `V${bottom}` : '');
}

function spark(tensor) {
	if (!tensor.counts)
		return document.createTextNode(NONE);
	const most = Math.max(...tensor.counts, 1);
	return svg('svg', {class: 'spark ' + tensor.as, viewBox: '0 0 96 22', preserveAspectRatio: 'none',
		'aria-hidden': 'true'},
	svg('path', {d: barPath(tensor.counts, 0, 96 / tensor.counts.length, 22, count => 22 - count / most * 22)}));
}

// How many codes a count of the tensor stands for.
function binWidth(tensor) {
	return tensor.as === 'uint4' ? 1 : HISTOGRAMS.width;
}

function codeRange(tensor, bin) {
	const width = binWidth(tensor), first = bin * width;
	return width > 1 ? first + '\u2013' + (first + width - 1) : String(first);
}

function weightOf(tensor, code) {
	return tensor.scale * (code - tensor.zero);
}

function barTip(tensor, bin) {
	const total = tensor.counts.reduce((sum, count) => sum + count, 0), count = tensor.counts[bin];
	const what = (tensor.quantized ? 'code' : 'byte') + (binWidth(tensor) > 1 ? 's ' : ' ');
	const rows = [['occurs', whole(count)], ['share', percent(count, total, 3)]];
	if (tensor.scale !== null && binWidth(tensor) === 1)
		rows.unshift(['weight', short(weightOf(tensor, bin))]);
	return [what + codeRange(tensor, bin), rows];
}

// Where the bars of a tensor are in a drawing, and how their values become places.
function barFrame(tensor, log, width) {
	const height = 220, weighted = tensor.scale !== null, counts = tensor.counts;
	const box = {left: 46, right: width - 4, top: 8, bottom: height - (weighted ? 40 : 24)};
	const most = Math.max(...counts, 1), codes = counts.length * binWidth(tensor);
	const axis = log ? {low: .7, high: most * 1.1, log} : {low: 0, high: most * 1.05};
	return {width, height, box, axis, codes, weighted, narrow: width < 420, step: (box.right - box.left) / counts.length,
		y: scale(axis, box.bottom, box.top), x: code => box.left + (code + .5) * (box.right - box.left) / codes};
}

function barGrid({axis, box, y}) {
	const ticks = (axis.log ? logTicks(1, axis.high, 4) : linearTicks(0, axis.high, 4))
		.filter(tick => tick === 0 || tick >= 1);
	return ticks.flatMap(tick => [
		svg('line', {class: 'grid', x1: box.left, x2: box.right, y1: y(tick), y2: y(tick)}),
		svg('text', {x: box.left - 6, y: y(tick) + 4, 'text-anchor': 'end'}, tickCount(tick))]);
}

// Below the bars: codes, and the weights that they stand for.
function barLabels(tensor, {box, codes, narrow, weighted, x}) {
	const few = codes <= 16, every = few ? narrow ? 3 : 1 : narrow ? 64 : 32, labels = [];
	for (let code = 0; code < codes; code += every)
		labels.push(code);
	if (!few)
		labels.push(codes - 1);
	return labels.flatMap(code => {
		const anchor = code === 0 && !few ? 'start' : code === codes - 1 && !few ? 'end' : 'middle';
		const place = {x: x(code), 'text-anchor': anchor};
		const crowded = few && code % (narrow ? 6 : 3);
		return [svg('text', {...place, y: box.bottom + 15}, String(code)),
			weighted && !crowded ? svg('text', {...place, y: box.bottom + 31}, short(weightOf(tensor, code))) : null];
	});
}

function drawBars(element, tensor, log, width) {
	const frame = barFrame(tensor, log, width), {box, step, x, y, codes} = frame, counts = tensor.counts;
	const pick = svg('rect', {class: 'pick', visibility: 'hidden', y: box.top, height: box.bottom - box.top,
		width: Math.max(2, step)});
	const zero = frame.weighted && tensor.zero >= 0 && tensor.zero < codes
		? svg('line', {class: 'zero', x1: x(tensor.zero), x2: x(tensor.zero), y1: box.top, y2: box.bottom}) : null;
	const drawing = svg('svg', {class: 'bars ' + tensor.as, width, height: frame.height, tabindex: 0, role: 'application',
		'aria-roledescription': 'histogram',
		'aria-label': 'Histogram of ' + (tensor.quantized ? 'codes' : 'bytes') + '; arrows go through the bars'},
	pick, barGrid(frame), svg('path', {class: 'shape', d: barPath(counts, box.left, step, box.bottom, y)}),
	barLabels(tensor, frame), zero);
	explorable(drawing, {
		items: counts.map((_, bin) => bin),
		at: px => {
			const bin = Math.floor((px - box.left) / step);
			return bin >= 0 && bin < counts.length ? bin : null;
		},
		mark: bin => {
			pick.setAttribute('visibility', bin === null ? 'hidden' : 'visible');
			if (bin === null)
				return null;
			pick.setAttribute('x', box.left + bin * step);
			return {x: box.left + (bin + .5) * step, y: y(Math.max(counts[bin], frame.axis.low))};
		},
		tip: (bin, place) => showTip(...barTip(tensor, bin), place),
		open: () => {},
	});
	element.replaceChildren(drawing);
}

// In words, what the histogram shows.
function codesInWords(tensor) {
	const counts = tensor.counts, used = counts.filter(count => count).length;
	const total = counts.reduce((sum, count) => sum + count, 0);
	if (!total)
		return 'There is nothing in it.';
	const top = counts.indexOf(Math.max(...counts));
	const what = tensor.quantized ? 'code' : 'byte', width = binWidth(tensor);
	const many = width > 1 ? `Each bar adds up ${width} ${what}s. `
		: `${plural(used, what + ' value')} of ${counts.length} occur. `;
	return many + `The most frequent ${width > 1 ? 'are ' + what + 's' : 'is ' + what} ` +
		`${codeRange(tensor, top)}, with ${percent(counts[top], total, 2)}.`;
}

function facts(tensor) {
	const size = number => whole(number) + ' B', ratio = relative(tensor);
	const rows = [['Source type', tensor.dtype], ['Shape', shape(tensor)], ['Weights', whole(tensor.weights)],
		['Source', size(tensor.source)], ['Decoded', size(tensor.raw)], ['Stored', size(tensor.stored)],
		['Payload', size(tensor.payload)], ['Index', size(tensor.index)], ['Padding before it', size(tensor.padding)],
		['Bits per weight', tensor.weights ? fixed(tensor.bits, 4) : NONE],
		['Entropy', tensor.weights ? fixed(tensor.entropy, 4) : NONE],
		['Above the entropy', ratio === null ? NONE : percent(ratio, 1, 2)]];
	if (tensor.quantized)
		rows.push(['Scheme', tensor.scheme],
			['Scale', tensor.scale === null ? plural(tensor.params, 'row') : String(tensor.scale)],
			['Zero point', tensor.zero === null ? 'per row' : whole(tensor.zero)],
			['Signal to noise', decibels(tensor)], ['Largest error', largestError(tensor)]);
	rows.push(['Stream', whole(tensor.stream)], ['Code tables', whole(tensor.tables)]);
	if (tensor.coded !== null)
		rows.push(['Blocks', blocksInWords(tensor)]);
	return rows;
}

function blocksInWords(tensor) {
	const parts = [[tensor.coded, 'coded'], [tensor.raw_blocks, 'raw'], [tensor.constant, 'constant']]
		.filter(part => part[0]).map(part => whole(part[0]) + ' ' + part[1]);
	return parts.length ? parts.join(', ') : 'none';
}

function chart(tensor) {
	if (!tensor.counts) {
		const why = tensor.damaged ? 'Its data is damaged: the codes could not be counted.' : 'The codes were not counted.';
		return el('p', {class: 'empty'}, why);
	}
	const plot = el('div'), log = el('input', {type: 'checkbox'});
	let last = 0;
	drawFitting(plot, width => drawBars(plot, tensor, log.checked, last = width));
	log.addEventListener('change', () => drawBars(plot, tensor, log.checked, last));
	const title = tensor.quantized ? 'Codes' + (tensor.scale === null ? '' : ' and their weights') : 'Bytes';
	return el('div', {class: 'chart'}, el('div', {class: 'chart-head'}, el('b', {}, title),
		el('label', {}, log, ' logarithmic')), plot, el('p', {class: 'hint'}, codesInWords(tensor)));
}

function step(tensor, by) {
	const order = shownTensors();
	const next = order[order.indexOf(tensor) + by];
	return el('button', {type: 'button', disabled: !next, 'aria-label': by < 0 ? 'previous tensor' : 'next tensor',
		onclick: () => openDetail(next, by)}, by < 0 ? '\u2190' : '\u2192');
}

// by: which of the steps, to the previous or next one, led here
function openDetail(tensor, by = 0) {
	const dialog = byId('detail');
	hideTip();
	const steps = [step(tensor, -1), step(tensor, 1)];
	dialog.replaceChildren(el('div', {class: 'detail'},
		el('header', {}, el('h2', {id: 'detail-name', class: 'mono'}, el('bdi', {}, ...breakable(tensor.name))),
			el('nav', {}, steps, el('button', {type: 'button', 'aria-label': 'close', autofocus: true,
				onclick: () => dialog.close()}, '\u00d7'))),
		el('p', {class: 'sub'}, el('span', {class: 'tag ' + tensor.as}, tensor.as), ' ',
			tensor.damaged ? el('span', {class: 'tag bad'}, 'damaged') : null,
			' in ' + visible(layerName(LAYERS[tensor.layer]))),
		chart(tensor),
		el('dl', {class: 'facts'}, facts(tensor).map(([label, value]) =>
			el('div', {}, el('dt', {}, label), el('dd', {}, value))))));
	if (!dialog.open)
		dialog.showModal();
	const again = steps[by < 0 ? 0 : 1];
	if (by && !again.disabled)
		again.focus();
}

function showDetail() {
	const dialog = byId('detail');
	// A click on what is behind it.
	dialog.addEventListener('click', event => {
		if (event.target === dialog)
			dialog.close();
	});
	dialog.addEventListener('close', hideTip);
}
