/* ek_dsp.h: one-dimensional signals.
 *   ek_dsp_zscore_f32   zero mean and unit deviation per row */
#ifndef EK_DSP_H
#define EK_DSP_H
#include "ek_core.h"

/* Rows of x (n, t) to zero mean and unit population standard deviation, into out (n, t); out may be x.
 * A constant row becomes 0. A NaN anywhere makes its row NaN. Sums run in double, in two passes. No scratch. */
EK_CHECK ek_status ek_dsp_zscore_f32(const float *x, size_t n, size_t t, float *out);

typedef void (*ek_dsp_zscore_f32_fn)(const float *x, size_t t, float *out); /* one row */
void ek_dsp_zscore_row_f32_ref(const float *x, size_t t, float *out);
void ek_dsp_zscore_row_f32_avx2(const float *x, size_t t, float *out);

#endif
