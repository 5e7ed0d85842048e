/* full.h: every sample of a row from a short transform (float32): complex, magnitude or power.
 *
 * As in lanes.h a row is transformed with L points, its band moved to bin 0, and interpolated from
 * M neighbours. Here L divides N, so that the places between two short samples repeat: vectors of
 * EK_FULL_WIDE outputs follow a cycle of `patterns`, each with its own taps. The complex result is
 * turned back by exp(2*pi*i*centre*m/N). Rows that need nearly N points take N. */
#ifndef EK_FULL_H
#define EK_FULL_H
#include "lanes.h"

enum { EK_FULL_WIDE = 16 };

typedef enum { EK_FULL_COMPLEX, EK_FULL_MAGNITUDE, EK_FULL_POWER } ek_full_what;

typedef struct {
    size_t length, order; /* L, M as an index of the orders */
    const ek_wavelet_bank *bank;
    ek_fft_plan *backward;
    size_t taps, patterns; /* taps 0: L == N, no interpolation */
    size_t start, count;   /* short samples start..start+count-1 (modulo L) are read */
    uint32_t *base;        /* per vector of outputs: its first short sample, from start on */
    uint32_t *index;       /* (patterns, WIDE): short sample of each output, from base on */
    float *tap;            /* (patterns, taps, WIDE) */
} ek_full_table;

typedef struct {
    const ek_full_table *table;
    size_t first, count;
    const float *weights;
    size_t centre;
    int near;
} ek_full_row;

typedef struct ek_full {
    size_t tables;
    ek_full_table *table;
    ek_full_row *row;
    float *turn[2]; /* exp(2*pi*i*k/N), N pairs, of the bank and of the near bank */
    size_t longest, most_count;
} ek_full;

/* The rest of a plan whose key.width is 0 (lanes.c calls it), and the end of it. */
EK_CHECK ek_status ek_full_make(ek_lane_plan *plan);
void ek_full_free(ek_lane_plan *plan);

/* re, im: table->count + 2*EK_FULL_WIDE short samples. out: t complex numbers or reals. */
typedef void (*ek_full_fn)(const ek_lane_plan *plan, const ek_full_row *row, ek_full_what what,
                           const float *re, const float *im, float *out);
void ek_full_row_ref(const ek_lane_plan *, const ek_full_row *, ek_full_what, const float *,
                     const float *, float *);
void ek_full_row_avx2(const ek_lane_plan *, const ek_full_row *, ek_full_what, const float *,
                      const float *, float *);
void ek_full_row_avx512(const ek_lane_plan *, const ek_full_row *, ek_full_what, const float *,
                        const float *, float *);

/* What one thread needs to transform rows: short spectrum and samples, then the samples that are
 * read, apart (with taps). */
typedef struct {
    float *z, *y, *re, *im;
} ek_full_scratch;

EK_CHECK ek_status ek_full_scratch_make(const ek_full *full, ek_full_scratch *s, ek_arena *tmp);

/* The row's short samples: s->y (taps 0) or s->re and s->im, from table->start on. */
void ek_full_short(const ek_full_row *row, const float *spectrum, ek_full_scratch *s);

/* The t samples of the row from the short ones. */
void ek_full_row_f32(const ek_lane_plan *plan, const ek_full_row *row, ek_full_what what,
                     const ek_full_scratch *s, ek_full_fn fn, float *out);
ek_full_fn ek_full_pick(void);

/* ek_wavelet_cwt_f32, or the scalogram of every sample; EK_EINTERNAL: not worth it for this length,
 * nothing was done. */
EK_CHECK ek_status ek_full_transform(const float *x, size_t n, size_t t,
                                     const ek_wavelet_spec *spec, ek_full_what what, float *out);

/* The same for the blocks of long signals; a block with a sample that is not finite gives NaN. */
EK_CHECK ek_status ek_full_blocks(const float *x, const ek_wavelet_blocks *blocks,
                                  const ek_wavelet_spec *spec, ek_full_what what, float *out);

#endif
