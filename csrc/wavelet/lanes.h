/* lanes.h: magnitudes at given places, many signals at a time, one signal per vector lane
 * (float32).
 *
 * A row of the transform occupies few bins, so its inverse transform can be short: L points instead
 * of N, with the band moved to bin 0, which leaves the magnitude as it is. Where the full-rate
 * sample p is wanted, the row is interpolated at p*L/N from M neighbours, with the taps that are
 * best for a Gaussian band whose deviation is L/span bins (lanes.c pairs M and span): within 3e-7
 * of the full-length transform. The cheapest pair is taken; a row that needs nearly N points takes
 * N and no interpolation. Rows whose wavelet is short in time are taken from a nearer extension of
 * the signal with fewer samples (the near bank). The work is vertical: the same steps for every
 * lane, so that a signal's result does not depend on its lane or its neighbours. */
#ifndef EK_LANES_H
#define EK_LANES_H
#include "wavelet_impl.h"

enum { EK_LANES_MOST = 16, EK_LANE_PLANS = 16, EK_LANE_MOST_TAPS = 12, EK_LANE_ORDERS = 5 };

/* Column c is low + frac*(high - low) of the magnitudes at samples low[c] and high[c] of the
 * signal. Columns come in blocks of `block`: column c of row r of a lane goes to out +
 * c/block*block_stride + r*block + c%block. */
typedef struct {
    size_t count, block, block_stride;
    uint32_t *low, *high;
    float *frac;
} ek_lane_columns;

typedef struct {
    size_t length, order;        /* L, M */
    const ek_wavelet_bank *bank; /* near or not */
    int exact;                   /* L == N: base and base_high are the places themselves, no taps */
    float *twiddle;              /* exp(2*pi*i*k/L), L pairs */
    size_t taps;                 /* per place; more than M, the rest are zeros */
    uint32_t *base, *base_high;
    float *tap; /* (columns, 2, taps): for low and for high, both from base on */
} ek_lane_table;

typedef struct {
    const ek_lane_table *table;
    size_t first, count; /* bins, as in ek_wavelet_row */
    const float *weights;
    ptrdiff_t centre; /* the bin that goes to 0 */
    size_t bins_at;   /* where the bins of this bank begin */
} ek_lane_row;

/* What a plan depends on. Signals of t samples; blocks of `width` columns, block b over samples
 * b*window..(b+1)*window-1. */
typedef struct {
    size_t t, window, width, blocks, block_stride;
    const ek_wavelet_spec *spec;
    const ek_wavelet_grid *grid; /* a block of a long signal: t == grid->step, width 0 */
} ek_lane_key;

/* Immutable and shared once made. */
typedef struct ek_lane_plan {
    ek_wavelet_bank bank, near;
    ek_lane_columns columns;
    ek_lane_row *row;
    size_t bins,
        near_bins; /* bins used by any row of the bank: 0..bins-1; near_bins 0: no near bank */
    size_t near_at, bins_total; /* where the near bins begin, and what `spectra` fills, complex
                                   numbers per lane */
    size_t longest;             /* L + taps, at most */
    ek_fft_plan *forward, *forward_near;
    struct ek_full *full; /* key.width 0: every sample, see full.h; no columns then */
    /* the cache's part */
    ek_lane_key key;
    ek_wavelet_spec spec;
    ek_wavelet_grid grid;
    ek_arena *memory;
    size_t users;
    struct ek_lane_plan *next;
} ek_lane_plan;

/* From a cache of the EK_LANE_PLANS last used ones; give it back. Any thread may call. */
EK_CHECK ek_status ek_lane_plan_get(const ek_lane_key *key, ek_lane_plan **plan);
void ek_lane_plan_put(ek_lane_plan *plan); /* NULL is fine */
size_t ek_lane_plan_count(void);

/* The orders of interpolation: M taps for a band of L/span bins deviation, and the taps for a place
 * `frac` behind the neighbour M/2 - 1. */
size_t ek_lane_order_taps(size_t order);
double ek_lane_order_span(size_t order);
void ek_lane_taps_at(double frac, size_t order, float *tap);

/* Whether a row of frequency f is the same from the near bank. */
int ek_lane_fits_near(const ek_lane_plan *plan, double f);

/* Fill a plan whose key is set, in its memory. */
EK_CHECK ek_status ek_lane_plan_make(ek_lane_plan *plan);

/* One instruction set's kernels. spectra: the bins of n <= lanes signals of t finite samples, into
 * bins (aligned; 2*lanes* plan->bins_total floats). rows: rows first..last-1 of them; out[i] is
 * where the columns of signal i go. */

typedef struct {
    size_t lanes;
    ek_status (*spectra)(const ek_lane_plan *plan, const float *const *x, size_t n, float *bins,
                         ek_arena *tmp);
    ek_status (*rows)(const ek_lane_plan *plan, const float *bins, int power, size_t first,
                      size_t last, float *const *out, size_t n, ek_arena *tmp);
} ek_lane_kernel;

extern const ek_lane_kernel ek_lane_avx2, ek_lane_avx512;

/* The kernel in force; NULL: none for this machine or setting. */
const ek_lane_kernel *ek_lane_pick(void);

int ek_lane_finite(const float *x, size_t t);

/* 1, or 0 and NaN everywhere in its place if the signal is not finite. */
int ek_lane_usable(const ek_lane_plan *plan, const float *x, float *out);

/* ek_wavelet_scalogram_f32 by lanes; EK_EINTERNAL: not worth it for these lengths, nothing was
 * done. */
EK_CHECK ek_status ek_lane_scalogram(const ek_lane_kernel *kernel, const float *x, size_t n,
                                     size_t t, const ek_wavelet_spec *spec, size_t width, int power,
                                     float *out);

#endif
