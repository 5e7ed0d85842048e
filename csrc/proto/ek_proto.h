/* ek_proto.h: similarity of feature maps to prototypes.
 * Letters: n records, d channels, t time steps, p prototypes, w their length, k = t - w + 1
 * windows. The inner products of all windows with all prototypes come by one of two ways: direct w
 * matrix products, shifted by one time step each spectral  one product per frequency; a quarter of
 * the work where w is long Squares of windows are sums of squares per time step. */
#ifndef EK_PROTO_H
#define EK_PROTO_H
#include "ek_core.h"

typedef enum { EK_PROTO_COSINE, EK_PROTO_L2, EK_PROTO_L2_LOG } ek_proto_metric;
typedef enum { EK_PROTO_ALL, EK_PROTO_MEAN, EK_PROTO_MAX, EK_PROTO_TOPK } ek_proto_pool;

/* Prototypes as the kernels eat them; spectra == NULL: direct only. */
typedef struct ek_proto_bank ek_proto_bank;

/* v (p, d, w) contiguous; t the length of the maps for which spectra are kept, 0: none. */
EK_CHECK ek_status ek_proto_bank_new(const float *v, size_t p, size_t d, size_t w, size_t t,
                                     ek_proto_bank **bank);
void ek_proto_bank_free(ek_proto_bank *bank);
size_t ek_proto_bank_bytes(const ek_proto_bank *bank);
size_t ek_proto_bank_dims(const ek_proto_bank *bank, size_t *p, size_t *d, size_t *w);

typedef struct {
    ek_proto_metric metric;
    ek_proto_pool pool;
    size_t k;   /* of EK_PROTO_TOPK */
    float eps;  /* cosine: added to the squared norm of a window and of a prototype */
    int direct; /* never by spectra */
} ek_proto_how;

/* x (n, d, t) contiguous. out: (n, p, windows) with EK_PROTO_ALL, else (n, p). best: (n, p), the
 * window of the largest similarity, the first of equals; NULL: not wanted (needs a pool).
 * cosine  <x, v> / (|x| |v|), 0 where a norm is 0
 * l2      -|x - v|; l2_log: log((|x - v| + 1) / (|x - v| + 1e-4))
 * Distances below 1/16 of the norms are computed again from the differences, in double. A NaN makes
 * the windows NaN that it lies in, and what is pooled from them. Same bits for any thread count. */
EK_CHECK ek_status ek_proto_similarity(const ek_proto_bank *bank, const float *x, size_t n,
                                       size_t t, const ek_proto_how *how, float *out,
                                       int64_t *best);

/* The formula as it stands, in double; out (n, p, windows). */
EK_CHECK ek_status ek_proto_similarity_ref(const float *x, const float *v, size_t n, size_t d,
                                           size_t t, size_t p, size_t w, const ek_proto_how *how,
                                           float *out);
#endif
