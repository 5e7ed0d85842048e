/* iir.h: what the forward-backward filter's parts share (private to csrc/dsp). */
#ifndef IIR_H
#define IIR_H
#include "ek_dsp.h"

enum { IIR_LANES = 4 }; /* of the widest variant */

/* v (t, W) filtered forward, then backward, in place; state: sections*order*W doubles, 64-byte
 * aligned. */
typedef void (*iir_run_fn)(double *v, size_t t, const ek_iir *f, double *state);
void iir_run_ref(double *v, size_t t, const ek_iir *f, double *state);  /* W = 1 */
void iir_run_avx2(double *v, size_t t, const ek_iir *f, double *state); /* W = IIR_LANES */
#endif
