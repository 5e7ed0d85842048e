/* What heart-rate variability counts: matching templates (entropies), detrended fluctuations, the
 * spectrum of unevenly spaced samples. */
#include "ek_dsp.h"
#include <math.h>

enum { GRAIN = 16 };

typedef struct {
    const double *x, *t, *freq;
    const int64_t *window;
    size_t n, m, count;
    double r;
    int64_t *matches;
    double *out;
} job;

/* For template i of length m: how many of x's templates lie within r in every element. */
static void count_matches(const job *j, size_t i, int64_t *same, int64_t *longer, int64_t *inner) {
    const size_t last = j->n - j->m; /* templates 0..last; those of m + 1: 0..last - 1 */
    const double *x = j->x;
    int64_t a = 0, b = 0, end = 0;
    for (size_t k = 0; k <= last; k++) {
        int near = 1;
        for (size_t c = 0; c < j->m; c++) near &= fabs(x[i + c] - x[k + c]) <= j->r;
        a += near;
        if (k == last) end = near;
        if (k < last && i < last) b += near & (fabs(x[i + j->m] - x[k + j->m]) <= j->r);
    }
    *same = a;
    *longer = b;
    *inner = a - end;
}

/* The common length, without a loop inside the loop, so that it vectorises. */
static void count_pairs(const job *j, size_t i, int64_t *same, int64_t *longer, int64_t *inner) {
    const size_t last = j->n - 2;
    const double *x = j->x, r = j->r, p = x[i], q = x[i + 1], s = i < last ? x[i + 2] : INFINITY;
    int64_t a = 0, b = 0;
    for (size_t k = 0; k < last; k++) {
        const int near = (fabs(p - x[k]) <= r) & (fabs(q - x[k + 1]) <= r);
        a += near;
        b += near & (fabs(s - x[k + 2]) <= r);
    }
    *inner = a;
    *longer = b;
    *same = a + ((fabs(p - x[last]) <= r) & (fabs(q - x[last + 1]) <= r));
}

static ek_status matches(void *ctx, size_t begin, size_t end, ek_arena *tmp) {
    const job *j = ctx;
    (void)tmp;
    int64_t *same = j->matches, *longer = same + j->n, *inner = longer + j->n;
    for (size_t i = begin; i < end; i++)
        (j->m == 2 ? count_pairs : count_matches)(j, i, &same[i], &longer[i], &inner[i]);
    return EK_OK;
}

ek_status ek_dsp_template_matches_f64(const double *x, size_t n, size_t m, double r, int64_t *out) {
    for (size_t i = 0; i < 3 * n; i++) out[i] = 0;
    if (m == 0) return EK_EVALUE;
    if (n <= m) return EK_OK;
    job j = {.x = x, .n = n, .m = m, .r = r, .matches = out};
    return ek_parallel_for(n - m + 1, GRAIN, matches, &j);
}

/* Mean variance about the straight line of the windows of length w, half overlapping. */
static double fluctuation(const double *x, size_t n, size_t w) {
    const double centre = 0.5 * (double)(w - 1), xx = (double)w * ((double)w * (double)w - 1) / 12;
    double total = 0.0;
    size_t used = 0;
    for (size_t a = 0; a + w < n; a += w / 2) {
        double mean = 0.0, slope = 0.0, rest = 0.0;
        for (size_t i = 0; i < w; i++) mean += x[a + i];
        mean /= (double)w;
        for (size_t i = 0; i < w; i++) slope += ((double)i - centre) * (x[a + i] - mean);
        slope /= xx;
        for (size_t i = 0; i < w; i++) {
            const double d = x[a + i] - mean - slope * ((double)i - centre);
            rest += d * d;
        }
        rest /= (double)w;
        if (rest > 1e-8) { /* a window on a line has no fluctuation */
            total += rest;
            used++;
        }
    }
    return used ? sqrt(total / (double)used) : NAN;
}

static ek_status fluctuations(void *ctx, size_t begin, size_t end, ek_arena *tmp) {
    const job *j = ctx;
    (void)tmp;
    for (size_t k = begin; k < end; k++) j->out[k] = fluctuation(j->x, j->n, (size_t)j->window[k]);
    return EK_OK;
}

ek_status ek_dsp_dfa_f64(const double *x, size_t n, const int64_t *window, size_t count,
                         double *out) {
    for (size_t k = 0; k < count; k++)
        if (window[k] < 2) return EK_EVALUE;
    job j = {.x = x, .n = n, .window = window, .out = out};
    return ek_parallel_for(count, 1, fluctuations, &j);
}

static ek_status lomb(void *ctx, size_t begin, size_t end, ek_arena *tmp) {
    const job *j = ctx;
    (void)tmp;
    for (size_t k = begin; k < end; k++) {
        const double w = 2.0 * M_PI * j->freq[k];
        double cs = 0.0, sn = 0.0, cc = 0.0, xc = 0.0, xs = 0.0, ss2 = 0.0, cs2 = 0.0;
        for (size_t i = 0; i < j->n; i++) {
            const double c = cos(w * j->t[i]), s = sin(w * j->t[i]);
            xc += j->x[i] * c;
            xs += j->x[i] * s;
            cc += c * c;
            cs2 += c * s;
        }
        ss2 = (double)j->n - cc;
        const double tau = 0.5 * atan2(2.0 * cs2, cc - ss2); /* w times the offset in time */
        cs = cos(tau);
        sn = sin(tau);
        const double a = xc * cs + xs * sn, b = xs * cs - xc * sn;
        const double ca = cc * cs * cs + 2.0 * cs2 * cs * sn + ss2 * sn * sn;
        const double sb = cc * sn * sn - 2.0 * cs2 * cs * sn + ss2 * cs * cs;
        j->out[k] = 0.5 * ((ca > 0.0 ? a * a / ca : 0.0) + (sb > 0.0 ? b * b / sb : 0.0));
    }
    return EK_OK;
}

ek_status ek_dsp_lomb_f64(const double *t, const double *x, size_t n, const double *freq,
                          size_t count, double *out) {
    job j = {.x = x, .t = t, .n = n, .freq = freq, .count = count, .out = out};
    return ek_parallel_for(count, GRAIN, lomb, &j);
}
