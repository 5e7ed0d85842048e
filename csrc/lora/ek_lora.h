/* ek_lora.h: low-rank updates of weight matrices.
 *   ek_lora_merge       out = round(w + sum_i scale_i * b_i @ a_i) in float32, bfloat16 or float16
 *   ek_lora_merge_f64   the same in double
 * Letters: m rows and n columns of w, r rank of one pair. The product b @ a is never stored. */
#ifndef EK_LORA_H
#define EK_LORA_H
#include "ek_core.h"

typedef enum { EK_LORA_F32, EK_LORA_BF16, EK_LORA_F16, EK_LORA_TYPES } ek_lora_type;

/* a (r, n) and b (m, r), contiguous. */
typedef struct {
    const float *a, *b;
    size_t r;
    float scale;
} ek_lora_pair;

/* What rounding did, over all elements: d is the change wanted, y - w the change made. */
typedef struct {
    double delta2, weight2, error2; /* sums of d^2, w^2 and ((y - w) - d)^2 */
    uint64_t unchanged;             /* y equals w */
    uint64_t broken;                /* w is finite, y is not */
    uint64_t clamped;               /* elements that clamp brought back */
} ek_lora_stats;

typedef struct {
    const void *w; /* (m, n) contiguous, w_type */
    void *out;     /* (m, n) contiguous, out_type; may be w where the types are equal */
    ek_lora_type w_type, out_type;
    size_t m, n;
    const ek_lora_pair *pair;
    size_t pairs;
    const float *row_gain; /* m: out = gain * (w + d); NULL: none */
    const float *col_gain; /* n */
    int round_delta;       /* d is rounded to w_type before it is added */
    int clamp;             /* a finite sum beyond the largest number of out_type becomes that one */
    ek_lora_stats *stats;  /* NULL: not wanted, which is faster */
} ek_lora_job;

/* Sums over r run in float32, one fused multiply-add after the other (the reference multiplies and
 * adds); pairs are added in order; one rounding to out_type, to nearest even, NaN stays NaN. A row
 * of out depends on its own row of w and b alone: same bits for any thread count. Scratch: r*n
 * floats for all pairs together. */
EK_CHECK ek_status ek_lora_merge(const ek_lora_job *job);

/* a (r, n), b (m, r); plain loops. out may be w. */
EK_CHECK ek_status ek_lora_merge_f64(const double *w, const double *a, const double *b, size_t m,
                                     size_t n, size_t r, double scale, double *out);

/* count values of a 16-bit type as float32. */
void ek_lora_widen(const uint16_t *x, ek_lora_type type, size_t count, float *out);
/* count float32 values rounded to nearest even; returns how many finite ones became infinite. */
uint64_t ek_lora_narrow(const float *x, ek_lora_type type, size_t count, uint16_t *out);

#endif
