/* iir.h: what the forward-backward filter's parts share (private to csrc/dsp). */
#ifndef IIR_H
#define IIR_H
#include "ek_dsp.h"

enum { IIR_LANES = 8 }; /* of the widest variant */

/* v (t, W) filtered forward, then backward, in place; state: sections*order*W doubles, 64-byte
 * aligned. */
typedef void (*iir_run_fn)(double *v, size_t t, const ek_iir *f, double *state);
void iir_run_ref(double *v, size_t t, const ek_iir *f, double *state);     /* W = 1 */
void iir_run4_avx2(double *v, size_t t, const ek_iir *f, double *state);   /* W = 4 */
void iir_run8_avx512(double *v, size_t t, const ek_iir *f, double *state); /* W = 8 */

/* Rows to lanes and back: t samples of four rows (of one in the reference) to or from lanes that
 * lie `width` doubles apart. */
typedef struct {
    void (*gather_f32)(const float *const *x, size_t t, size_t width, double *v);
    void (*gather_f64)(const double *const *x, size_t t, size_t width, double *v);
    void (*scatter_f32)(const double *v, size_t t, size_t width, float *const *out);
    void (*scatter_f64)(const double *v, size_t t, size_t width, double *const *out);
} iir_rows;
extern const iir_rows iir_rows_avx2;
#endif
