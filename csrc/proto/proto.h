/* proto.h: internal to csrc/proto. */
#ifndef EK_PROTO_INTERNAL_H
#define EK_PROTO_INTERNAL_H
#include <math.h>
#include "ek_fft.h"
#include "ek_proto.h"

enum { EK_PROTO_BLOCK = 64 }; /* prototypes whose inner products are finished together */

struct ek_proto_bank {
    size_t p, d, w, t;
    size_t length, bins; /* of the transforms */
    float *v;            /* (p, d, w) as given */
    float *taps;         /* (w, p, d) */
    double *squares;     /* p sums of squares */
    float *spectra;      /* (bins, 2*d, p): real parts above imaginary parts; NULL: none */
};

/* What finishes inner products: squares of the windows, pooling, output. */
typedef struct {
    const ek_proto_bank *bank;
    const float *x;        /* (n, d, t) */
    const double *squares; /* (n, windows); inverse norms take their place where those are wanted */
    const double *inverse;
    size_t t, windows;
    const ek_proto_how *how;
    float *out;
    int64_t *best;
} ek_proto_finish;

/* 1 / sqrt(x), 0 for 0, NaN for NaN. */
static inline double ek_proto_inverse(double x) {
    return x == 0.0 ? 0.0 : 1.0 / sqrt(x);
}

/* dots: windows inner products of record i and prototype q; scaled by `scale`; overwritten. */
void ek_proto_finish_row(const ek_proto_finish *f, size_t i, size_t q, float *dots, float scale,
                         float *top);
/* Inner products of the n records in `record` by spectra. */
EK_CHECK ek_status ek_proto_by_spectra(const ek_proto_finish *f, const size_t *record, size_t n);
/* squares (n, windows) and whether a record is finite. */
EK_CHECK ek_status ek_proto_squares(const float *x, size_t n, size_t d, size_t t, size_t w,
                                    double *squares, unsigned char *finite);
#endif
