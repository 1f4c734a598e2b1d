// Digests for the Python module `hashlib`: MD5, SHA-1 and SHA-2.
(function ($B) {
    "use strict";

    const rotate_left = (value, count) => (value << count) | (value >>> (32 - count));
    const rotate_right = (value, count) => (value >>> count) | (value << (32 - count));

    /** The message, a bit, zeros, and its length in bits at the end of a block. */
    function padded(source, block, length_bytes, little) {
        const size = Math.ceil((source.length + 1 + length_bytes) / block) * block;
        const result = new Uint8Array(size);
        result.set(source);
        result[source.length] = 0x80;
        const bits = BigInt(source.length) * 8n;
        for (let at = 0; at < 8; at += 1) {
            const shift = BigInt(8 * (little ? at : 7 - at));
            result[size - 8 + at] = Number((bits >> shift) & 255n);
        }
        return new DataView(result.buffer);
    }

    function bytes_of(words, little) {
        const view = new DataView(new ArrayBuffer(words.length * 4));
        for (const [at, word] of words.entries()) {
            view.setUint32(at * 4, word >>> 0, little);
        }
        return Array.from(new Uint8Array(view.buffer));
    }

    const MD5_SHIFTS = [[7, 12, 17, 22], [5, 9, 14, 20], [4, 11, 16, 23], [6, 10, 15, 21]];
    function md5(source) {
        const view = padded(source, 64, 8, true);
        const state = [0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476];
        for (let start = 0; start < view.byteLength; start += 64) {
            let [a, b, c, d] = state;
            for (let step = 0; step < 64; step += 1) {
                const round = step >> 4;
                const mixed = [(b & c) | (~b & d), (d & b) | (~d & c), b ^ c ^ d, c ^ (b | ~d)][round];
                const word = [step, 5 * step + 1, 3 * step + 5, 7 * step][round] % 16;
                const constant = Math.floor(Math.abs(Math.sin(step + 1)) * 2 ** 32);
                const sum = (a + mixed + constant + view.getUint32(start + word * 4, true)) | 0;
                [a, d, c, b] = [d, c, b, (b + rotate_left(sum, MD5_SHIFTS[round][step % 4])) | 0];
            }
            for (const [at, value] of [a, b, c, d].entries()) {
                state[at] = (state[at] + value) | 0;
            }
        }
        return bytes_of(state, true);
    }

    function sha1(source) {
        const view = padded(source, 64, 8, false);
        const state = [0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0];
        const words = new Int32Array(80);
        for (let start = 0; start < view.byteLength; start += 64) {
            for (let at = 0; at < 80; at += 1) {
                words[at] = at < 16 ? view.getInt32(start + at * 4)
                    : rotate_left(words[at - 3] ^ words[at - 8] ^ words[at - 14] ^ words[at - 16], 1);
            }
            let [a, b, c, d, e] = state;
            for (let at = 0; at < 80; at += 1) {
                const round = Math.floor(at / 20);
                const mixed = [(b & c) | (~b & d), b ^ c ^ d, (b & c) | (b & d) | (c & d), b ^ c ^ d][round];
                const constant = [0x5a827999, 0x6ed9eba1, 0x8f1bbcdc, 0xca62c1d6][round];
                const next = (rotate_left(a, 5) + mixed + e + constant + words[at]) | 0;
                [e, d, c, b, a] = [d, c, rotate_left(b, 30), a, next];
            }
            for (const [at, value] of [a, b, c, d, e].entries()) {
                state[at] = (state[at] + value) | 0;
            }
        }
        return bytes_of(state, false);
    }

    // SHA-2 takes its constants from the roots of the first primes: the first bits of what is behind the point.
    const primes = [];
    for (let candidate = 2; primes.length < 80; candidate += 1) {
        if (primes.every((prime) => candidate % prime !== 0)) {
            primes.push(candidate);
        }
    }
    /** The first 64 bits behind the point of the square or cube root of a number. */
    function root_bits(number, power) {
        const scaled = BigInt(number) << BigInt(64 * power);
        let low = 0n;
        let high = 1n << 72n;
        while (high - low > 1n) {
            const middle = (low + high) >> 1n;
            if (middle ** BigInt(power) <= scaled) {
                low = middle;
            } else {
                high = middle;
            }
        }
        return low & 0xffffffffffffffffn;
    }
    let constants;
    const cube_roots = () => (constants ??= primes.map((prime) => root_bits(prime, 3)));
    const SHA224 = [0xc1059ed8, 0x367cd507, 0x3070dd17, 0xf70e5939, 0xffc00b31, 0x68581511, 0x64f98fa7, 0xbefa4fa4];

    function sha256(source, start_state = primes.slice(0, 8).map((prime) => Number(root_bits(prime, 2) >> 32n)), length = 32) {
        const k = cube_roots().slice(0, 64).map((bits) => Number(bits >> 32n));
        const view = padded(source, 64, 8, false);
        const state = start_state.slice();
        const words = new Int32Array(64);
        for (let start = 0; start < view.byteLength; start += 64) {
            for (let at = 0; at < 64; at += 1) {
                if (at < 16) {
                    words[at] = view.getInt32(start + at * 4);
                    continue;
                }
                const [x, y] = [words[at - 15], words[at - 2]];
                const s0 = rotate_right(x, 7) ^ rotate_right(x, 18) ^ (x >>> 3);
                const s1 = rotate_right(y, 17) ^ rotate_right(y, 19) ^ (y >>> 10);
                words[at] = (words[at - 16] + s0 + words[at - 7] + s1) | 0;
            }
            let [a, b, c, d, e, f, g, h] = state;
            for (let at = 0; at < 64; at += 1) {
                const s1 = rotate_right(e, 6) ^ rotate_right(e, 11) ^ rotate_right(e, 25);
                const t1 = (h + s1 + ((e & f) ^ (~e & g)) + k[at] + words[at]) | 0;
                const s0 = rotate_right(a, 2) ^ rotate_right(a, 13) ^ rotate_right(a, 22);
                const t2 = (s0 + ((a & b) ^ (a & c) ^ (b & c))) | 0;
                [h, g, f, e, d, c, b, a] = [g, f, e, (d + t1) | 0, c, b, a, (t1 + t2) | 0];
            }
            for (const [at, value] of [a, b, c, d, e, f, g, h].entries()) {
                state[at] = (state[at] + value) | 0;
            }
        }
        return bytes_of(state, false).slice(0, length);
    }

    const MASK = 0xffffffffffffffffn;
    const rotate_right_64 = (value, count) => ((value >> count) | (value << (64n - count))) & MASK;
    const sha512_start = () => primes.slice(0, 8).map((prime) => root_bits(prime, 2));
    const sha384_start = () => primes.slice(8, 16).map((prime) => root_bits(prime, 2));
    function sha512(source, start_state = sha512_start(), length = 64) {
        const k = cube_roots();
        const view = padded(source, 128, 16, false);
        const state = start_state.slice();
        const words = new Array(80);
        for (let start = 0; start < view.byteLength; start += 128) {
            for (let at = 0; at < 80; at += 1) {
                if (at < 16) {
                    words[at] = view.getBigUint64(start + at * 8);
                    continue;
                }
                const [x, y] = [words[at - 15], words[at - 2]];
                const s0 = rotate_right_64(x, 1n) ^ rotate_right_64(x, 8n) ^ (x >> 7n);
                const s1 = rotate_right_64(y, 19n) ^ rotate_right_64(y, 61n) ^ (y >> 6n);
                words[at] = (words[at - 16] + s0 + words[at - 7] + s1) & MASK;
            }
            let [a, b, c, d, e, f, g, h] = state;
            for (let at = 0; at < 80; at += 1) {
                const s1 = rotate_right_64(e, 14n) ^ rotate_right_64(e, 18n) ^ rotate_right_64(e, 41n);
                const t1 = (h + s1 + ((e & f) ^ (~e & MASK & g)) + k[at] + words[at]) & MASK;
                const s0 = rotate_right_64(a, 28n) ^ rotate_right_64(a, 34n) ^ rotate_right_64(a, 39n);
                const t2 = s0 + ((a & b) ^ (a & c) ^ (b & c));
                [h, g, f, e, d, c, b, a] = [g, f, e, (d + t1) & MASK, c, b, a, (t1 + t2) & MASK];
            }
            for (const [at, value] of [a, b, c, d, e, f, g, h].entries()) {
                state[at] = (state[at] + value) & MASK;
            }
        }
        const words_32 = state.flatMap((word) => [Number(word >> 32n), Number(word & 0xffffffffn)]);
        return bytes_of(words_32, false).slice(0, length);
    }

    const digests = {
        md5, sha1, sha256, sha512,
        sha224: (source) => sha256(source, SHA224, 28),
        sha384: (source) => sha512(source, sha384_start(), 48),
    };
    $B.addToImported("_hash", {
        digest: (name, data) => ({ ob_type: $B.builtins.bytes, source: digests[String(name)](data.source) }),
    });
})(__BRYTHON__);
