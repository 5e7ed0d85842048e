/* WFDB formats 16, 24, 32, 80 and 212: interleaved bytes to rows, steps to millivolt. */
#include "ek_io.h"
#include <math.h>

size_t ek_wfdb_bytes(int format, size_t samples) {
    switch (format) {
    case 80: return samples;
    case 16: return samples * 2;
    case 24: return samples * 3;
    case 32: return samples * 4;
    case 212: return samples + (samples + 1) / 2; /* two samples in three bytes */
    default: return 0;
    }
}

int32_t ek_wfdb_invalid(int format) {
    switch (format) {
    case 80: return -128;
    case 212: return -2048;
    case 24: return -8388608;
    case 32: return INT32_MIN;
    default: return -32768;
    }
}

/* Sample i of a packed run. All formats are little-endian. */
static inline int32_t at_16(const uint8_t *p, size_t i) {
    return (int16_t)(p[2 * i] | p[2 * i + 1] << 8);
}
static inline int32_t at_24(const uint8_t *p, size_t i) {
    const uint32_t u = p[3 * i] | (uint32_t)p[3 * i + 1] << 8 | (uint32_t)p[3 * i + 2] << 16;
    return (int32_t)(u ^ 0x800000u) - 0x800000;
}
static inline int32_t at_32(const uint8_t *p, size_t i) {
    return (int32_t)(p[4 * i] | (uint32_t)p[4 * i + 1] << 8 | (uint32_t)p[4 * i + 2] << 16 |
                     (uint32_t)p[4 * i + 3] << 24);
}
static inline int32_t at_80(const uint8_t *p, size_t i) {
    return (int32_t)p[i] - 128;
}
static inline int32_t signed_12(uint32_t u) {
    return (int32_t)(u ^ 0x800u) - 0x800;
}
static inline int32_t at_212(const uint8_t *p, size_t i) {
    const uint8_t *q = p + i / 2 * 3;
    return signed_12(i % 2 ? q[2] | (q[1] & 0xf0u) << 4 : q[0] | (q[1] & 0x0fu) << 8);
}

#define ROWS(AT, TYPE)                                                                             \
    for (size_t s = 0; s < n; s++) {                                                               \
        TYPE *row = out + s * ldo;                                                                 \
        for (size_t t = 0; t < frames; t++) row[t] = (TYPE)AT(src, t * n + s);                     \
    }

/* With an even number of signals the parity of a sample is that of its signal. */
#define ROWS_212(TYPE)                                                                             \
    for (size_t s = 0; s < n; s += 2) {                                                            \
        const uint8_t *q = src + s / 2 * 3;                                                        \
        TYPE *even = out + s * ldo, *odd = even + ldo;                                             \
        for (size_t t = 0; t < frames; t++, q += n / 2 * 3) {                                      \
            even[t] = (TYPE)signed_12(q[0] | (q[1] & 0x0fu) << 8);                                 \
            odd[t] = (TYPE)signed_12(q[2] | (q[1] & 0xf0u) << 4);                                  \
        }                                                                                          \
    }

void ek_wfdb_pairs_ref(const uint8_t *src, size_t pairs, int16_t *even, int16_t *odd) {
    for (size_t t = 0; t < pairs; t++) {
        even[t] = (int16_t)at_212(src, 2 * t);
        odd[t] = (int16_t)at_212(src, 2 * t + 1);
    }
}

static const struct {
    unsigned need;
    void (*fn)(const uint8_t *, size_t, int16_t *, int16_t *);
} PAIRS[] = {
    {EK_CPU_AVX2, ek_wfdb_pairs_avx2},
    {0,           ek_wfdb_pairs_ref }
};

ek_status ek_wfdb_unpack_i16(int format, const uint8_t *src, size_t frames, size_t n, int16_t *out,
                             size_t ldo) {
    switch (format) {
    case 16: ROWS(at_16, int16_t) return EK_OK;
    case 80: ROWS(at_80, int16_t) return EK_OK;
    case 212:
        if (n == 2) {
            EK_PICK(PAIRS)(src, frames, out, out + ldo);
        } else if (n % 2 == 0) {
            ROWS_212(int16_t)
        } else {
            ROWS(at_212, int16_t)
        }
        return EK_OK;
    default: return EK_EVALUE;
    }
}

ek_status ek_wfdb_unpack_i32(int format, const uint8_t *src, size_t frames, size_t n, int32_t *out,
                             size_t ldo) {
    switch (format) {
    case 16: ROWS(at_16, int32_t) return EK_OK;
    case 24: ROWS(at_24, int32_t) return EK_OK;
    case 32: ROWS(at_32, int32_t) return EK_OK;
    case 80: ROWS(at_80, int32_t) return EK_OK;
    case 212: ROWS(at_212, int32_t) return EK_OK;
    default: return EK_EVALUE;
    }
}

/* Division, not a product with the reciprocal: the result must be the one that everyone else
 * computes. */
#define SCALE(raw, n, s, x)                                                                        \
    uint32_t sum = 0;                                                                              \
    for (size_t i = 0; i < n; i++) {                                                               \
        const double v = ((double)raw[i] - s.baseline) / s.gain * s.factor;                        \
        x[i] = raw[i] == s.invalid ? NAN : (float)v;                                               \
        sum += (uint32_t)raw[i];                                                                   \
    }                                                                                              \
    return sum;

uint32_t ek_wfdb_scale_i16_ref(const int16_t *raw, size_t n, ek_wfdb_scale s,
                               float *x){SCALE(raw, n, s, x)}

uint32_t ek_wfdb_scale_i32(const int32_t *raw, size_t n, ek_wfdb_scale s, float *x) {
    SCALE(raw, n, s, x)
}

static const struct {
    unsigned need;
    uint32_t (*fn)(const int16_t *, size_t, ek_wfdb_scale, float *);
} SCALE_I16[] = {
    {EK_CPU_AVX2, ek_wfdb_scale_i16_avx2},
    {0,           ek_wfdb_scale_i16_ref }
};

uint32_t ek_wfdb_scale_i16(const int16_t *raw, size_t n, ek_wfdb_scale s, float *x) {
    return EK_PICK(SCALE_I16)(raw, n, s, x);
}
