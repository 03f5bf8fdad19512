// SPDX-License-Identifier: MIT
// summary.js - what the image is, its size against that of the source, bytes by kind, layers, files.
'use strict';

const SUMS = {weights: 0, source: DATA.contents.sidecar_bytes, raw: DATA.contents.sidecar_bytes};
for (const group of GROUPS) {
	SUMS.weights += DATA.totals[group].weights;
	SUMS.source += DATA.totals[group].source_bytes;
	SUMS.raw += DATA.totals[group].raw_bytes;
}

function showHead() {
	document.title = visible(DATA.image.name) + ' \u2013 entrofs image';
	byId('name').append(el('bdi', {}, ...breakable(DATA.image.name)));
	byId('about').append(describe());
	byId('digest').append('digest ' + DATA.image.digest);
}

function describe() {
	const model = DATA.model || {}, parts = [];
	const kind = model.architecture || model.model_type;
	if (kind)
		parts.push(visible(String(kind)));
	for (const [key, one, many] of [['num_hidden_layers', 'layer', 'layers'], ['hidden_size', 'hidden size'],
		['num_attention_heads', 'attention head', 'attention heads'],
		['num_key_value_heads', 'key-value head', 'key-value heads'], ['vocab_size', 'vocabulary']]) {
		if (Number.isInteger(model[key]))
			parts.push(many ? plural(model[key], one, many) : one + ' ' + whole(model[key]));
	}
	const weights = plural(SUMS.weights, 'weight') + ' in ' + plural(DATA.contents.tensors, 'tensor');
	const from = DATA.source_count ? ' from ' + plural(DATA.source_count, 'weight file') : '';
	return (parts.length ? parts.join(', ') + '. ' : '') + weights + from + ', packed by ' +
		visible(DATA.image.generator || 'an unnamed program') + '.';
}

function showDamage() {
	const check = DATA.check;
	if (!check.findings)
		return;
	const box = byId('damage');
	box.hidden = false;
	box.append(el('h2', {}, 'This image is damaged, or could not be read: ' + plural(check.findings, 'finding')),
		el('p', {}, 'What cannot be decoded is left out of the histograms; all other figures come from the catalog. ' +
			'fsck.entrofs --deep checks the whole image.'),
		el('ul', {}, check.listed.map(finding => el('li', {},
			finding.tensor === null ? null : [el('code', {}, visible(finding.tensor)), ': '],
			visible(finding.message)))));
	if (check.listed.length < check.findings)
		box.append(el('p', {}, 'and ' + whole(check.findings - check.listed.length) + ' more'));
}

function tile(label, figure, unit, ...notes) {
	return el('div', {class: 'card tile'}, el('dt', {}, label),
		el('dd', {class: 'figure'}, figure, unit ? el('small', {}, ' ' + unit) : null),
		notes.map(note => el('dd', {class: 'note'}, note)));
}

function showTiles() {
	const image = DATA.image.size;
	const [size, unit] = bytes(image).split(' ');
	byId('tiles').append(
		tile('Image', size, unit, whole(image) + ' bytes'),
		tile('Of the source', SUMS.source ? fixed(image * 100 / SUMS.source, 1) : NONE, SUMS.source ? '%' : '',
			bytes(SUMS.source) + ' of weights and files'),
		bitsTile(), errorTile());
}

function bitsTile() {
	const quantized = {weights: 0, stored: 0, entropy: 0};
	for (const group of ['uint8', 'uint4']) {
		const totals = DATA.totals[group];
		quantized.weights += totals.weights;
		quantized.stored += totals.stored_bytes;
		quantized.entropy += totals.entropy_bits * totals.weights;
	}
	if (!quantized.weights)
		return tile('Bits per weight', SUMS.weights ? fixed(DATA.image.size * 8 / SUMS.weights, 3) : NONE, '',
			'nothing is quantized');
	const bits = quantized.stored * 8 / quantized.weights, entropy = quantized.entropy / quantized.weights;
	return tile('Bits per quantized weight', fixed(bits, 3), '',
		'entropy ' + fixed(entropy, 3) + (entropy ? ', ' + signed(bits - entropy, entropy) : ''));
}

function signed(part, of) {
	return (part < 0 ? '' : '+') + percent(part, of);
}

function errorTile() {
	const noisy = TENSORS.filter(tensor => tensor.quantized && tensor.sqnr !== null)
		.sort((a, b) => a.sqnr - b.sqnr);
	if (!noisy.length)
		return tile('Signal to noise', 'exact', '', 'no weight differs from its source');
	const middle = noisy[noisy.length >> 1];
	return tile('Signal to noise, median', fixed(middle.sqnr, 1), 'dB', [
		'lowest ' + fixed(noisy[0].sqnr, 1) + ' dB: ', openButton(noisy[0], breakable(noisy[0].name))]);
}

function openButton(tensor, children) {
	return el('button', {type: 'button', class: 'link', onclick: () => openDetail(tensor)}, el('bdi', {}, ...children));
}

function showSizes() {
	const most = Math.max(SUMS.source, SUMS.raw, DATA.image.size, 1);
	const quantized = DATA.totals.uint8.tensors + DATA.totals.uint4.tensors;
	for (const [label, size, kind] of [['Source', SUMS.source, ''],
		[quantized ? 'Quantized' : 'Not coded', SUMS.raw, ''], ['Image', DATA.image.size, 'image']]) {
		const bar = el('div', {class: 'fill ' + kind});
		bar.style.setProperty('width', size * 100 / most + '%');
		byId('sizes').append(el('div', {class: 'size'}, el('span', {class: 'label'}, label), el('div', {class: 'track'}, bar),
			el('span', {class: 'value'}, bytes(size) + ' ', el('small', {}, percent(size, SUMS.source)))));
	}
}

// --- bytes by kind ---

function kinds() {
	const space = DATA.space, payload = {uint8: 0, uint4: 0, kept: 0};
	for (const layer of LAYERS)
		for (const group of GROUPS)
			payload[group] += layer[group];
	const named = {uint8: ['Codes, uint8', 'prefix-coded weights of 8 bits'],
		uint4: ['Codes, uint4', 'prefix-coded weights of 4 bits, two to a byte'],
		kept: ['Kept tensors', 'prefix-coded, in their own type']};
	const rows = GROUPS.filter(group => payload[group]).map(group => [group, ...named[group], payload[group]]);
	const used = GROUPS.reduce((sum, group) => sum + payload[group], 0);
	// Streams that no tensor uses, or that several do.
	if (used > space.payload)
		rows.splice(0, rows.length, ['uint8', 'Codes', 'of streams that tensors share', space.payload]);
	else if (used < space.payload)
		rows.push(['other', 'Other streams', 'of no tensor', space.payload - used]);
	rows.push(['index', 'Indexes', plural(DATA.index.tables, 'code table') + ' and the checksums, sizes and kinds of ' +
			plural(DATA.index.blocks, 'block'), space.index],
		['blobs', 'Files and headers', 'configuration, tokenizer, headers of views', space.blobs],
		['catalog', 'Catalog', 'names, shapes, scales, digests, the tree of files', space.catalog],
		['hash_tree', 'Hash tree', 'SHA-256 of every 128 KiB', space.hash_tree],
		['superblock', 'Superblock', 'identity and where the rest is', space.superblock],
		['padding', 'Padding', 'alignment of streams', space.padding]);
	return rows;
}

// parts: [kind, bytes]; their tips say [title, rows]
function stack(parts, of, tip, thin) {
	const bars = parts.filter(part => part[1]).map(part => {
		const bar = el('span', {class: part[0]});
		bar.style.setProperty('width', part[1] * 100 / of + '%');
		return withTip(bar, () => tip(part));
	});
	return el('div', {class: thin ? 'stack thin' : 'stack', 'aria-hidden': 'true'}, bars);
}

function showKinds() {
	const rows = kinds(), size = DATA.image.size;
	byId('kinds').append(
		stack(rows.map(([kind, name, , amount]) => [kind, amount, name]), size,
			part => [part[2], [['bytes', whole(part[1])], ['share', percent(part[1], size, 3)]]]),
		el('table', {}, el('thead', {}, el('tr', {}, el('th', {scope: 'col'}, 'Kind'),
			el('th', {scope: 'col', class: 'hide-narrow'}, 'What it is'),
			el('th', {scope: 'col', class: 'n'}, 'Bytes'), el('th', {scope: 'col', class: 'n'}, 'Share'))),
		el('tbody', {}, rows.map(([kind, name, what, amount]) => el('tr', {'data-kind': kind},
			el('th', {scope: 'row'}, swatch(kind), name), el('td', {class: 'what hide-narrow'}, what),
			el('td', {class: 'n'}, whole(amount)), el('td', {class: 'n'}, percent(amount, size, 3)))))));
}

// --- layers ---

function layerFigures(layer, number) {
	const stored = layer.uint8 + layer.uint4 + layer.kept + layer.index + layer.padding;
	const noisy = TENSORS.filter(tensor => tensor.layer === number && tensor.quantized && tensor.sqnr !== null);
	return {layer, number, stored, bits: layer.weights ? stored * 8 / layer.weights : null,
		sqnr: noisy.length ? Math.min(...noisy.map(tensor => tensor.sqnr)) : null};
}

function layerRow(figures, most) {
	const {layer, stored} = figures, kinds_ = [...GROUPS, 'index', 'padding'];
	const name = layerName(layer);
	const label = layer.name === null ? name
		: el('button', {type: 'button', class: 'link', onclick: () => filterTensors(layer.name)},
			el('bdi', {}, ...breakable(name)));
	return el('tr', {}, el('th', {scope: 'row', class: 'name mono'}, label),
		el('td', {class: 'bar'}, stack(kinds_.map(kind => [kind, layer[kind]]), most, part => [name,
			[[part[0] === 'index' || part[0] === 'padding' ? part[0] : 'payload, ' + part[0], whole(part[1]) + ' B'],
				['layer', bytes(stored)], ['of the image', percent(stored, DATA.image.size, 2)]]], true)),
		el('td', {class: 'n hide-narrow'}, whole(layer.tensors)), el('td', {class: 'n'}, bytes(stored)),
		el('td', {class: 'n'}, figures.bits === null ? NONE : fixed(figures.bits, 3)),
		el('td', {class: 'n'}, figures.sqnr === null ? NONE : fixed(figures.sqnr, 1)));
}

function showLayers() {
	if (!LAYERS.length) {
		byId('layers').append(el('p', {class: 'empty'}, 'This image has no tensors.'));
		return;
	}
	const figures = LAYERS.map(layerFigures), most = Math.max(...figures.map(row => row.stored), 1);
	byId('layers').append(el('table', {}, el('thead', {}, el('tr', {}, el('th', {scope: 'col'}, 'Layer'),
		el('th', {scope: 'col'}, 'Stored'), el('th', {scope: 'col', class: 'n hide-narrow'}, 'Tensors'),
		el('th', {scope: 'col', class: 'n'}, 'Bytes'), el('th', {scope: 'col', class: 'n', title: 'bits per weight'}, 'Bits'),
		el('th', {scope: 'col', class: 'n', title: 'signal to noise, the lowest of its tensors'}, 'dB'))),
	el('tbody', {}, figures.map(row => layerRow(row, most)))));
	if (LAYERS.some(layer => layer.name === null))
		byId('layers').after(el('p', {class: 'hint'}, 'Only the ' + whole(LAYERS.length - 1) +
			' largest layers are shown by themselves.'));
}

// --- other files ---

function showFiles() {
	const files = records(DATA.files), rest = DATA.contents.blobs - files.length;
	if (!files.length) {
		byId('files').append(el('p', {class: 'empty'}, 'There are none.'));
		return;
	}
	byId('files').append(el('table', {}, el('thead', {}, el('tr', {}, el('th', {scope: 'col'}, 'First used by'),
		el('th', {scope: 'col', class: 'n'}, 'Bytes'), el('th', {scope: 'col', class: 'n'}, 'Stored'),
		el('th', {scope: 'col', class: 'n hide-narrow'}, 'Share'))),
	el('tbody', {}, files.map(file => el('tr', {},
		el('th', {scope: 'row', class: 'name mono'}, file.path === null ? 'no file' : el('bdi', {}, ...breakable(file.path))),
		el('td', {class: 'n'}, whole(file.raw)), el('td', {class: 'n'}, whole(file.stored)),
		el('td', {class: 'n hide-narrow'}, percent(file.stored, file.raw)))))));
	if (rest)
		byId('files').after(el('p', {class: 'hint'}, 'and ' + plural(rest, 'smaller one') + ', not shown here'));
}

function showFoot() {
	const check = DATA.check;
	const read = !HISTOGRAMS.counted ? 'Only the catalog and the indexes were read: histograms were not asked for.'
		: bytes(check.decoded) + ' were decoded by the ' + DATA.decoder + ' decoder' +
			(check.findings ? '.' : ', and every checksum was right.');
	byId('foot').append(el('p', {}, read), el('p', {}, 'Made by ' + DATA.program +
		'. Source sizes leave out the headers of weight files, which an image does not record.'));
}
