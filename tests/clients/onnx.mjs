// SPDX-License-Identifier: MIT
// onnx.mjs PACKAGES - runs ONNX Runtime, one of the jobs on stdin after the other; a line of JSON answers each.
//
// A job has a file, inputs (name: [shape, numbers]) and a folder; each output goes into the file of its name
// there, as F32. The answer says how files are mapped once the model is loaded.
import {readFileSync, writeFileSync} from "node:fs";
import {createRequire} from "node:module";

const {InferenceSession, Tensor} = createRequire(`${process.argv[2]}/package.json`)("onnxruntime-node");

for (const job of JSON.parse(readFileSync(0, "utf8"))) {
    const session = await InferenceSession.create(job.file, {intraOpNumThreads: 1, ...job.options});
    const maps = readFileSync("/proc/self/maps", "utf8").split("\n").filter((line) => line.includes(job.below));
    const inputs = Object.entries(job.inputs).map(([name, [shape, numbers]]) =>
        [name, new Tensor("float32", Float32Array.from(numbers), shape)]);
    const outputs = await session.run(Object.fromEntries(inputs));
    for (const [name, {data}] of Object.entries(outputs))
        writeFileSync(`${job.folder}/${name}`, new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
    console.log(JSON.stringify({outputs: Object.keys(outputs), maps: maps.map((line) => line.split(/ +/))}));
    await session.release();
}
