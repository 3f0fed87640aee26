// gnuspeech (articulatory: a tube model of the vocal tract, 44.1 kHz):
// node gnuspeech.mjs VOICE[@CM] OUT_DIR < lines.txt ; see wavlines.mjs for the lines.
// @CM sets another length of the vocal tract than the voice's own, which makes another speaker of it.
// The engine is run below the package's own synthesize(), which has no pitch.
import startGnuspeech from '@echogarden/gnuspeech-wasm/wasm/gnuspeech.js';
import { clamp, main, wavSamples } from './wavlines.mjs';

const VOICES = ['male', 'female', 'large_child', 'small_child', 'baby'];
const DATA = '/data/en'; // the engine's settings and dictionaries, files inside the WASM module
const RATE = 44100; // the engine's own. Its other, 22050, is broken: voices with a short tract come out at half speed

/**
 * The engine perturbs its intonation at random and takes its seed from the system. So that the same line
 * always gives the same audio, this takes the place of the system's source: bytes that follow from the text.
 */
let randomState = 1;
const seedRandom = (text) => {
  randomState = 2166136261; // FNV-1a hash
  for (const char of text) randomState = Math.imul(randomState ^ char.charCodeAt(0), 16777619);
};
Object.defineProperty(globalThis, 'crypto', {
  value: {
    getRandomValues(bytes) {
      for (let i = 0; i < bytes.length; i++) {
        randomState = (Math.imul(randomState, 1664525) + 1013904223) | 0; // linear congruential generator
        bytes[i] = randomState >>> 24;
      }
      return bytes;
    },
  },
});

async function makeVoice(voice) {
  const [name, tractCm] = voice.split('@');
  if (!VOICES.includes(name) || (tractCm && !(tractCm >= 6 && tractCm <= 25))) throw new Error(`no such voice: ${voice}`);
  const gnuspeech = await startGnuspeech({ print() {}, printErr() {} });
  const { FS } = gnuspeech;
  /** Text of a settings file with some of its "key = value" lines changed. */
  const changed = (settings, values) =>
    Object.entries(values).reduce((text, [key, value]) => {
      const line = new RegExp(`^${key} = .*$`, 'm');
      if (!line.test(text)) throw new Error(`no setting ${key}`);
      return text.replace(line, `${key} = ${value}`);
    }, settings);
  const edit = (file, values) => FS.writeFile(`${DATA}/${file}`, changed(FS.readFile(`${DATA}/${file}`, { encoding: 'utf8' }), values));

  if (tractCm) edit(`voice_${name}.txt`, { vocal_tract_length: tractCm });
  edit('trm_control_model.txt', { voice_name: name });
  const basePitch = Number(/^pitch_offset = (\S+)/m.exec(FS.readFile(`${DATA}/trm_control_model.txt`, { encoding: 'utf8' }))[1]);

  const cString = (text) => {
    const bytes = new TextEncoder().encode(text + '\0');
    const at = gnuspeech._malloc(bytes.length);
    gnuspeech.HEAPU8.set(bytes, at);
    return at;
  };
  const [wavPath, dataPath, paramPath] = ['/out.wav', DATA, '/out.txt'].map(cString);

  return {
    sampleRate: RATE,
    say(text, rate, pitch) {
      edit('trm_control_model.txt', {
        tempo: clamp(rate, 0.1, 10).toFixed(4),
        pitch_offset: (basePitch + 12 * Math.log2(pitch)).toFixed(4), // semitones
      });
      seedRandom(`${voice} ${rate} ${pitch} ${text}`);
      const job = cString(text);
      try {
        gnuspeech._GnuSpeech_synthesizeToFile(job, wavPath, dataPath, paramPath, 0);
        return wavSamples(FS.readFile('/out.wav')).samples;
      } finally {
        gnuspeech._free(job);
        for (const path of ['/out.wav', '/out.txt']) if (FS.analyzePath(path).exists) FS.unlink(path);
      }
    },
  };
}

await main('gnuspeech', VOICES, makeVoice);
