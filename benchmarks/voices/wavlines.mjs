// Shared by the synthesiser scripts: read the job lines, run them, write WAV files, print the summary.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** Wraps 16-bit mono samples in a canonical 44-byte-header WAV file. */
export function wavBytes(samples, sampleRate) {
  const bytes = Buffer.alloc(44 + samples.length * 2);
  bytes.write('RIFF', 0);
  bytes.writeUInt32LE(36 + samples.length * 2, 4);
  bytes.write('WAVEfmt ', 8);
  bytes.writeUInt32LE(16, 16); // size of the fmt chunk
  bytes.writeUInt16LE(1, 20); // PCM
  bytes.writeUInt16LE(1, 22); // mono
  bytes.writeUInt32LE(sampleRate, 24);
  bytes.writeUInt32LE(sampleRate * 2, 28);
  bytes.writeUInt16LE(2, 32);
  bytes.writeUInt16LE(16, 34);
  bytes.write('data', 36);
  bytes.writeUInt32LE(samples.length * 2, 40);
  for (let i = 0; i < samples.length; i++) bytes.writeInt16LE(samples[i], 44 + i * 2);
  return bytes;
}

/** Floats in -1..1 to 16-bit samples. */
export const toInt16 = (floats) =>
  Int16Array.from(floats, (x) => Math.round(32767 * Math.max(-1, Math.min(1, x))));

/** 16-bit little-endian mono PCM samples of a WAV file, found by walking its chunks. */
export function wavSamples(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let rate = 0;
  for (let at = 12; at + 8 <= view.byteLength; ) {
    const id = String.fromCharCode(...bytes.subarray(at, at + 4));
    const size = view.getUint32(at + 4, true);
    if (id === 'fmt ') rate = view.getUint32(at + 12, true);
    if (id === 'data') {
      const count = Math.floor(Math.min(size, view.byteLength - at - 8) / 2);
      return { rate, samples: Int16Array.from({ length: count }, (_, i) => view.getInt16(at + 8 + 2 * i, true)) };
    }
    at += 8 + size + (size & 1);
  }
  throw new Error('no data chunk');
}

/**
 * Command line of every synthesiser: VOICE OUT_DIR < lines of NAME<TAB>RATE<TAB>PITCH<TAB>TEXT.
 * makeVoice(voice) returns (sync or as a promise) { sampleRate, say(text, rate, pitch) -> Int16Array }.
 * A line that fails is named in the summary and the others go on; then the exit status is 1.
 */
export async function main(engine, voices, makeVoice) {
  const [voice, outDir] = process.argv.slice(2);
  if (!voice || !outDir) {
    console.error(`usage: node ${engine}.mjs VOICE OUT_DIR < lines.txt   (voices: ${voices.join(', ')})`);
    process.exit(2);
  }
  mkdirSync(outDir, { recursive: true });
  const synth = await makeVoice(voice);
  const failed = [];
  let made = 0;
  let audioSeconds = 0;
  const start = performance.now();
  for (const line of readFileSync(0, 'utf8').split('\n')) {
    if (!line.trim()) continue;
    const [name, rate, pitch, ...text] = line.replace(/\r$/, '').split('\t');
    try {
      // Keep to plain words: no synthesiser's own markup (<..>, [..]) can come in with the text.
      const words = text.join(' ').replace(/[^A-Za-z0-9'.,!? -]/g, ' ').trim();
      if (!/^[\w.-]+$/.test(name) || !(rate > 0) || !(pitch > 0) || !words) throw new Error('bad line');
      const samples = await synth.say(words, Number(rate), Number(pitch));
      if (!samples.length) throw new Error('no audio');
      writeFileSync(join(outDir, `${name}.wav`), wavBytes(samples, synth.sampleRate));
      audioSeconds += samples.length / synth.sampleRate;
      made++;
    } catch (error) {
      failed.push(name);
      console.error(`${name}: ${error?.message ?? error}`);
    }
  }
  const seconds = (performance.now() - start) / 1000;
  console.log(JSON.stringify({ engine, voice, made, failed, sampleRate: synth.sampleRate, audioSeconds: +audioSeconds.toFixed(2), seconds: +seconds.toFixed(2) }));
  process.exitCode = failed.length ? 1 : 0;
}

export const clamp = (x, low, high) => Math.max(low, Math.min(high, x));
