// SPDX-License-Identifier: MIT
// llama.mjs PACKAGES - runs llama.cpp, one of the jobs on stdin after the other; a line of JSON answers each.
//
// A job has a file, the options that decide how it is loaded, and either
//   prompts, tokens: the greedy continuation of each prompt by so many tokens at most, with the probability
//                    of each token, or
//   text, window:    what the model makes of a text: see likelihood().
import {readFileSync, realpathSync} from "node:fs";
import {pathToFileURL} from "node:url";

const {getLlama} = await import(pathToFileURL(`${process.argv[2]}/node_modules/node-llama-cpp/dist/index.js`));

let loadMode; // by llama.cpp's own word, the last one counts
const llama = await getLlama({
    gpu: false, build: "never", progressLogs: false, maxThreads: 1, logLevel: "debug",
    logger: (level, message) => { loadMode = /load_mode = ([^)]*)\)/.exec(message)?.[1] ?? loadMode; }
});

// What begins a text, as the model has it.
function prefix(model) {
    return model.tokens.shouldPrependBosToken ? [model.tokens.bos] : [];
}

async function continuations(model, sequence, prompts, tokens) {
    const texts = [];
    for (const prompt of prompts) {
        const chosen = [], probabilities = [];
        await sequence.clearHistory();
        const input = [...prefix(model), ...model.tokenize(prompt)];
        const next = sequence.evaluateWithMetadata(input, {confidence: true}, {temperature: 0});
        for await (const {token, confidence} of next) {
            chosen.push(token);
            probabilities.push(confidence);
            if (chosen.length === tokens)
                break;
        }
        texts.push({text: model.detokenize(chosen), tokens: chosen, probabilities});
    }
    return texts;
}

// The sum of -ln p over the tokens of a text, each predicted from those before it in its window; windows do
// not overlap, so their first token is not predicted unless the model has one that begins a text.
async function likelihood(model, sequence, text, window) {
    const before = prefix(model), tokens = model.tokenize(text);
    let sum = 0, counted = 0;
    for (let first = 0; first < tokens.length; first += window - before.length) {
        const own = [...before, ...tokens.slice(first, first + window - before.length)];
        await sequence.clearHistory();
        await sequence.controlledEvaluate(own.map((token) => [token, {generateNext: {probabilities: true}}]), {
            onTokenResult(at, {next}) {
                if (at + 1 < own.length) {
                    sum -= Math.log(next.probabilities.get(own[at + 1]));
                    counted++;
                }
            }
        });
    }
    return {sum, counted, tokens: tokens.length};
}

for (const job of JSON.parse(readFileSync(0, "utf8"))) {
    const model = await llama.loadModel({modelPath: job.file, gpuLayers: 0, ...job.options});
    const file = realpathSync(job.file);
    const mapped = readFileSync("/proc/self/maps", "utf8").split("\n").filter((line) => line.endsWith(file));
    const context = await model.createContext({contextSize: job.window ?? 256, batchSize: 256, threads: 1});
    const sequence = context.getSequence();
    const answer = {loadMode, mapped: mapped.map((line) => line.split(" ")[1])};
    if (job.prompts)
        answer.texts = await continuations(model, sequence, job.prompts, job.tokens);
    else
        Object.assign(answer, await likelihood(model, sequence, job.text, job.window));
    console.log(JSON.stringify(answer));
    await context.dispose();
    await model.dispose();
}
process.exit(0); // it would wait for llama.cpp's threads
