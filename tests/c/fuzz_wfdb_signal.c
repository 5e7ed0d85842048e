/* Signal formats on any bytes against a plain decoder of one sample, and the scaling against the
 * formula. Input: format, signals, then samples. */
#include "ek_io.h"
#include <math.h>
#include <stdlib.h>

static int32_t sign(uint32_t v, int bits) {
    return v >> (bits - 1) & 1 ? (int32_t)((int64_t)v - (1ll << bits)) : (int32_t)v;
}

static int32_t one(int format, const uint8_t *p, size_t i) {
    const uint8_t *q;
    switch (format) {
    case 80: return p[i] - 128;
    case 16: return sign(p[2 * i] + 256u * p[2 * i + 1], 16);
    case 24: return sign(p[3 * i] + 256u * p[3 * i + 1] + 65536u * p[3 * i + 2], 24);
    case 32:
        return sign(p[4 * i] + 256u * p[4 * i + 1] + 65536u * p[4 * i + 2] +
                        16777216u * p[4 * i + 3],
                    32);
    default:
        q = p + 3 * (i / 2);
        return sign(i % 2 ? q[2] + 256u * (q[1] / 16u) : q[0] + 256u * (q[1] % 16u), 12);
    }
}

static void check_scale(int format, int32_t raw, float x) {
    const double want = (raw - 7.0) / 123.4 * 1e-3;
    if (raw == ek_wfdb_invalid(format) ? !isnan(x) : x != (float)want) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const int FORMAT[5] = {16, 24, 32, 80, 212};
    if (size < 3) return 0;
    const int format = FORMAT[data[0] % 5];
    const size_t n = data[1] % 20 + 1, bytes = size - 2;
    size_t frames = 0;
    while (ek_wfdb_bytes(format, (frames + 1) * n) <= bytes) frames++;
    if (frames == 0) return 0;
    /* exactly as many bytes as the contract asks for, so that a read past them is caught */
    const size_t need = ek_wfdb_bytes(format, frames * n);
    uint8_t *src = malloc(need);
    int32_t *wide = malloc(n * frames * sizeof *wide);
    int16_t *narrow = malloc(n * frames * sizeof *narrow);
    float *x = malloc(frames * sizeof *x);
    if (src == NULL || wide == NULL || narrow == NULL || x == NULL) abort();
    for (size_t i = 0; i < need; i++) src[i] = data[2 + i];
    if (ek_wfdb_unpack_i32(format, src, frames, n, wide, frames) != EK_OK) abort();
    const int fits = ek_wfdb_unpack_i16(format, src, frames, n, narrow, frames) == EK_OK;
    if (fits != (format != 24 && format != 32)) abort();
    const ek_wfdb_scale s = {123.4, 1e-3, 7, ek_wfdb_invalid(format)};
    for (size_t r = 0; r < n; r++) {
        uint32_t sum = 0;
        for (size_t t = 0; t < frames; t++) {
            const int32_t want = one(format, src, t * n + r);
            if (wide[r * frames + t] != want || (fits && narrow[r * frames + t] != want)) abort();
            sum += (uint32_t)want;
        }
        if (ek_wfdb_scale_i32(wide + r * frames, frames, s, x) != sum) abort();
        for (size_t t = 0; t < frames; t++) check_scale(format, wide[r * frames + t], x[t]);
        if (!fits) continue;
        if (ek_wfdb_scale_i16(narrow + r * frames, frames, s, x) != sum) abort();
        for (size_t t = 0; t < frames; t++) check_scale(format, wide[r * frames + t], x[t]);
    }
    free(src);
    free(wide);
    free(narrow);
    free(x);
    return 0;
}
