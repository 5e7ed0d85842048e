/* lora_kern.h: what an instruction set brings to the merge. Internal to csrc/lora.
 * A tile has `rows` rows and `columns` columns. Panels: a lies (k, columns), b lies (k, rows). */
#ifndef EK_LORA_KERN_H
#define EK_LORA_KERN_H
#include <math.h>
#include <string.h>
#include "ek_lora.h"

enum { EK_LORA_MAX_ROWS = 16, EK_LORA_MAX_COLUMNS = 48 };
enum { EK_LORA_DOT_ROWS = 8, EK_LORA_DOT_COLUMNS = 32 };

/* d (rows, ldd) is what the pairs add to the tile; out = gain * (w + d), rounded. */
typedef struct {
    const float *d;
    const char *w;
    char *out;
    size_t ldd, ld; /* elements between rows of d, of w and out */
    size_t rows, columns;
    ek_lora_type w_type, out_type;
    const float *row_gain, *col_gain;
    int round_delta, clamp;
    ek_lora_stats *stats; /* NULL: none */
} ek_lora_finish;

typedef struct {
    unsigned need;
    size_t rows, columns;
    /* One row of `tiles` whole tiles, one pair, straight from w to out; NULL: not here. */
    void (*sweep[EK_LORA_TYPES])(const float *a, const float *b, size_t k, float scale,
                                 const void *w, void *out, size_t ld, size_t tiles);
    /* d = scale * b @ a, or added to d; d lies (rows, columns). */
    void (*delta)(const float *a, const float *b, size_t k, float scale, int add, float *d);
    void (*finish)(const ek_lora_finish *f);
} ek_lora_isa;

extern const ek_lora_isa ek_lora_isa_ref, ek_lora_isa_avx2, ek_lora_isa_avx512;

/* One row of `tiles` tiles of bfloat16 weights by dot products; k counts pairs of steps, a lies (k,
 * 2, 16) a tile, b (k, rows). */
void ek_lora_dots_avx512(const uint32_t *a, const uint32_t *b, size_t k, float scale,
                         const uint16_t *w, uint16_t *out, size_t ld, size_t tiles);
/* Whether that gives the bits of the other path: bfloat16 holds a and b, and no sum underflows. */
int ek_lora_dots_exact(const ek_lora_pair *p, size_t m, size_t n);
EK_CHECK ek_status ek_lora_merge_dots(const ek_lora_job *job, ek_arena *own);

static const size_t EK_LORA_BYTES[EK_LORA_TYPES] = {4, 2, 2};
static const float EK_LORA_LARGEST[EK_LORA_TYPES] = {0x1.fffffep127f, 0x1.fep127f, 65504.0f};

static inline float ek_lora_bits(uint32_t u) {
    float x;
    memcpy(&x, &u, 4);
    return x;
}

static inline uint32_t ek_lora_word(float x) {
    uint32_t u;
    memcpy(&u, &x, 4);
    return u;
}

static inline uint16_t ek_lora_to_bf16(float x) {
    const uint32_t u = ek_lora_word(x);
    if (x != x) return (uint16_t)(u >> 16 | 0x40); /* a quiet NaN */
    return (uint16_t)((u + 0x7fff + (u >> 16 & 1)) >> 16);
}

static inline float ek_lora_from_bf16(uint16_t h) {
    return ek_lora_bits((uint32_t)h << 16);
}

static inline float ek_lora_from_f16(uint16_t h) {
    const uint32_t sign = (uint32_t)(h & 0x8000) << 16, e = h >> 10 & 31, f = h & 1023;
    if (e == 31) return ek_lora_bits(sign | 0x7f800000 | f << 13 | (f ? 0x400000 : 0));
    if (e == 0) { /* a subnormal: f * 2^-24, exact */
        const float x = (float)f * 0x1p-24f;
        return sign ? -x : x;
    }
    return ek_lora_bits(sign | (e + 112) << 23 | f << 13);
}

static inline uint16_t ek_lora_to_f16(float x) {
    const uint32_t u = ek_lora_word(x), sign = u >> 16 & 0x8000, size = u & 0x7fffffff;
    if (size > 0x7f800000) return (uint16_t)(sign | 0x7e00 | (size >> 13 & 0x3ff));
    if (size >= 0x477ff000) return (uint16_t)(sign | 0x7c00); /* 65520 and more round to infinity */
    if (size < 0x38800000) { /* below 2^-14: adding 0.5 leaves the rounded multiple of 2^-24 */
        const float shifted = ek_lora_bits(size) + 0.5f;
        return (uint16_t)(sign | (ek_lora_word(shifted) - 0x3f000000));
    }
    return (uint16_t)(sign | ((size + 0xfff + (size >> 13 & 1) - 0x38000000) >> 13));
}

static inline float ek_lora_get(const char *p, ek_lora_type type, size_t i) {
    if (type == EK_LORA_F32) return ((const float *)p)[i];
    const uint16_t h = ((const uint16_t *)p)[i];
    return type == EK_LORA_BF16 ? ek_lora_from_bf16(h) : ek_lora_from_f16(h);
}

/* Stores x and returns it as stored. */
static inline float ek_lora_put(char *p, ek_lora_type type, size_t i, float x) {
    if (type == EK_LORA_F32) return ((float *)p)[i] = x;
    const uint16_t h = type == EK_LORA_BF16 ? ek_lora_to_bf16(x) : ek_lora_to_f16(x);
    ((uint16_t *)p)[i] = h;
    return type == EK_LORA_BF16 ? ek_lora_from_bf16(h) : ek_lora_from_f16(h);
}

static inline float ek_lora_rounded(float x, ek_lora_type type) {
    if (type == EK_LORA_F32) return x;
    return type == EK_LORA_BF16 ? ek_lora_from_bf16(ek_lora_to_bf16(x))
                                : ek_lora_from_f16(ek_lora_to_f16(x));
}
#endif
