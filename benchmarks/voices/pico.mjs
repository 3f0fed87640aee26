// SVOX Pico (HMM synthesis, 16 kHz): node pico.mjs VOICE OUT_DIR < lines.txt ; see wavlines.mjs for the lines.
// The npm package has the engine only. Its voice data (*_ta.bin, *_sg.bin) come from Debian's
// libttspico-data (non-free section) and lie in pico-lang/ beside this script.
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import startPico from '@echogarden/svoxpico-wasm';
import { clamp, main } from './wavlines.mjs';

const LANG_DIR = fileURLToPath(new URL('pico-lang', import.meta.url));
const VOICES = { 'en-US': ['en-US_ta.bin', 'en-US_lh0_sg.bin'], 'en-GB': ['en-GB_ta.bin', 'en-GB_kh0_sg.bin'] };
const WORK_AREA = 2_500_000; // bytes of memory that the engine manages itself
const VOLUME = 40; // percent: at the default of 100 the loudest vowels clip
const STEP_IDLE = 200; // pico_getData: nothing more to say
const STEP_BUSY = 201; // pico_getData: call again

async function makeVoice(voice) {
  if (!VOICES[voice]) throw new Error(`no such voice: ${voice}`);
  const pico = await startPico();
  const heap = () => new DataView(pico.HEAPU8.buffer); // made anew each time: memory may have grown
  const buffer = (size) => pico._malloc(size);
  const cString = (text) => {
    const bytes = new TextEncoder().encode(text + '\0');
    const at = buffer(bytes.length);
    pico.HEAPU8.set(bytes, at);
    return { at, size: bytes.length };
  };
  const check = (code, what) => {
    if (code !== 0) throw new Error(`${what}: pico error ${code}`);
  };

  const slot = buffer(8); // for one pointer that a call hands back
  check(pico._pico_initialize(buffer(WORK_AREA), WORK_AREA, slot), 'initialize');
  const system = heap().getUint32(slot, true);
  const voiceName = cString('v');
  check(pico._pico_createVoiceDefinition(system, voiceName.at), 'createVoiceDefinition');
  for (const file of VOICES[voice]) {
    pico.FS.writeFile(`/${file}`, readFileSync(`${LANG_DIR}/${file}`));
    check(pico._pico_loadResource(system, cString(`/${file}`).at, slot), `loadResource ${file}`);
    const resourceName = buffer(64);
    check(pico._pico_getResourceName(system, heap().getUint32(slot, true), resourceName), 'getResourceName');
    check(pico._pico_addResourceToVoiceDefinition(system, voiceName.at, resourceName), 'addResource');
  }
  check(pico._pico_newEngine(system, voiceName.at, slot), 'newEngine');
  const engine = heap().getUint32(slot, true);

  const OUT_SIZE = 4096;
  const out = buffer(OUT_SIZE);
  const counts = buffer(8); // two int16 results of a call

  /** Appends what the engine has to say to parts until it is idle. */
  function drain(parts) {
    for (;;) {
      const code = pico._pico_getData(engine, out, OUT_SIZE, counts, counts + 4);
      const bytes = heap().getInt16(counts, true);
      if (bytes > 0) parts.push(pico.HEAPU8.slice(out, out + bytes));
      if (code === STEP_IDLE) return;
      if (code !== STEP_BUSY) throw new Error(`getData: pico error ${code}`);
    }
  }

  // Each line starts from this copy of the engine's whole memory: its noise generator survives even
  // pico_resetEngine, and the audio of a line must not depend on the lines before it.
  const fresh = pico.HEAPU8.slice();

  return {
    sampleRate: 16000,
    say(text, rate, pitch) {
      pico.HEAPU8.set(fresh);
      const speed = Math.round(clamp(100 * rate, 20, 500)); // the engine's own limits, in percent
      const level = Math.round(clamp(100 * pitch, 50, 200));
      // The closing NUL makes the engine finish the utterance.
      const job = cString(`<volume level='${VOLUME}'><speed level='${speed}'><pitch level='${level}'>${text}</pitch></speed></volume>`);
      const parts = [];
      for (let done = 0; done < job.size; ) {
        check(pico._pico_putTextUtf8(engine, job.at + done, job.size - done, counts), 'putText');
        const taken = heap().getInt16(counts, true);
        drain(parts);
        done += taken;
      }
      const bytes = Buffer.concat(parts);
      return Int16Array.from({ length: bytes.length >> 1 }, (_, i) => bytes.readInt16LE(2 * i));
    },
  };
}

await main('pico', Object.keys(VOICES), makeVoice);
