/* qrs.h: what the parts of the QRS detector share (private to csrc/dsp). */
#ifndef QRS_H
#define QRS_H
#include "ek_core.h"
#include <math.h>

enum {
    EK_QRS_RATE = 250, /* Hz: the rate at which the detector thinks */
    QRS_REACH = 25,    /* kernel half length, samples */
    QRS_TAPS = 2 * QRS_REACH + 1,
    QRS_LEVEL_REACH = 5, /* 2 s blocks to each side that give the local QRS level */
};

typedef struct {
    double centre, sigma;     /* band: Hz, s */
    double level_quantile;    /* of block maxima */
    double fuse_power;        /* weight of a lead = (rest / level) ^ -power */
    double threshold;         /* strength over level that scores 0 */
    double cap_low, cap_high; /* bounds of the score, octaves */
    double refractory;        /* s */
    double early, early_cost; /* fraction of the local RR below which a beat costs, octaves at zero
                                 distance */
    double early_limit;       /* s: that distance is at most this */
    double late, late_cost;   /* ... above which a missing beat costs, octaves per RR */
    double floor;             /* local level is at least this fraction of the record's */
    double t_wave, t_ratio,
        t_cost;        /* s after a beat where one weaker than this ratio is suspect; octaves */
    double fuse_most;  /* bound of a lead's strength over its level */
    double fuse_clean; /* rest / level of a clean lead */
} qrs_params;

/* Steps that quality.c uses too. */
size_t qrs_bridge(const float *x, size_t t, double *y); /* how many samples are finite */
void qrs_change_rate(const double *x, size_t t, double step, float *y, size_t ty,
                     double *total); /* total (t + 1) */
void qrs_envelope(const float *y, size_t ty, double centre, double sigma, float *e, float *padded);

size_t qrs_length(size_t t, double fs);
size_t qrs_blocks(size_t ty);
void qrs_levels(const float *e, size_t ty, const qrs_params *p, float *level, float *rest,
                float *work);
void qrs_spread(const float *level, size_t ty, float *out); /* blocks to samples */
/* Envelope (ty) of all leads of x (lead, t); gain (lead) = how much a lead counts when the peak is
 * placed. */
EK_CHECK ek_status qrs_fused_envelope(const float *x, size_t lead, size_t t, double fs,
                                      const qrs_params *p, float *fused, float *gain,
                                      ek_arena *tmp);

/* e (ty) = magnitude of padded (ty + 2 QRS_REACH) filtered by re and im. */
typedef void (*qrs_band_fn)(const float *padded, size_t ty, const float *re, const float *im,
                            float *e);
void qrs_band_ref(const float *padded, size_t ty, const float *re, const float *im, float *e);
void qrs_band_avx2(const float *padded, size_t ty, const float *re, const float *im, float *e);
void qrs_band_avx512(const float *padded, size_t ty, const float *re, const float *im, float *e);

/* The loop itself, compiled once per instruction set: the tile's sums stay in registers. */
static inline void qrs_band(const float *padded, size_t ty, const float *re, const float *im,
                            float *e) {
    enum { TILE = 64 };
    for (size_t i0 = 0; i0 < ty; i0 += TILE) {
        const size_t m = ty - i0 < TILE ? ty - i0 : TILE;
        float a[TILE] = {0}, b[TILE] = {0}, tail[TILE + 2 * QRS_REACH] = {0};
        const float *x = padded + i0;
        if (m < TILE) {
            for (size_t i = 0; i < m + 2 * QRS_REACH; i++) tail[i] = x[i];
            x = tail;
        }
        for (size_t c = 0; c < QRS_TAPS; c++)
            for (size_t i = 0; i < TILE; i++) {
                a[i] += re[c] * x[i + c];
                b[i] += im[c] * x[i + c];
            }
        for (size_t i = 0; i < m; i++) e[i0 + i] = sqrtf(a[i] * a[i] + b[i] * b[i]);
    }
}
#endif
