/* The trace of (S1 S2)^(1/2), by the cheapest route that is accurate. */
#include "ek_linalg.h"
#include "ek_metric.h"
#include <float.h>
#include <math.h>
#include <string.h>

static const double NEGATIVE = 1e-6, TRACE_ERROR = 1e-10;

/* L^T S2 L: *accurate says whether rounding of its eigenvalues leaves the trace alone. */
static ek_status cholesky_route(const double *s1, const double *s2, size_t d, double *trace,
                                int *accurate, ek_arena *tmp) {
    const size_t mark = ek_arena_mark(tmp);
    double *l = ek_arena_f64(tmp, d * d), *m = ek_arena_f64(tmp, d * d), *w = ek_arena_f64(tmp, d);
    *accurate = 0;
    if (l == NULL || m == NULL || w == NULL) return EK_ENOMEM;
    memcpy(l, s1, d * d * sizeof *l);
    memcpy(m, s2, d * d * sizeof *m);
    ek_status st = ek_linalg_cholesky_f64(l, d);
    if (st == EK_OK) st = ek_linalg_congruence_f64(l, m, d);
    if (st == EK_OK) st = ek_poll();
    if (st == EK_OK) st = ek_linalg_eigh_f64(0, m, d, w);
    if (st == EK_OK && w[0] > 0.0) {
        double sum = 0.0, error = 0.0;
        for (size_t i = 0; i < d; i++) {
            sum += sqrt(w[i]);
            error +=
                4.0 * DBL_EPSILON * w[d - 1] / sqrt(w[i]); /* eigenvalues move by 8 eps w_max */
        }
        *trace = sum;
        *accurate = error <= TRACE_ERROR * sum;
    }
    ek_arena_reset(tmp, mark);
    return st == EK_EVALUE ? EK_OK : st; /* not positive definite: another route decides */
}

static ek_status factor(const double *s, size_t d, double *f, size_t *rank, double *clipped,
                        ek_arena *tmp) {
    const size_t mark = ek_arena_mark(tmp);
    double *v = ek_arena_f64(tmp, d * d), *w = ek_arena_f64(tmp, d);
    if (v == NULL || w == NULL) return EK_ENOMEM;
    memcpy(v, s, d * d * sizeof *v);
    ek_status st = ek_linalg_eigh_f64(1, v, d, w);
    if (st == EK_OK && d > 0 && w[0] < -NEGATIVE * fmax(w[d - 1], 0.0)) st = EK_EVALUE;
    if (st == EK_OK) {
        const double least = (double)d * DBL_EPSILON * w[d - 1];
        *rank = 0;
        for (size_t k = d; k-- > 0;) {
            if (w[k] < 0.0) *clipped -= w[k];
            if (!(w[k] > least)) continue;
            const double scale = sqrt(w[k]);
            double *row = f + *rank * d;
            for (size_t i = 0; i < d; i++) row[i] = scale * v[k * d + i];
            ++*rank;
        }
        memset(f + *rank * d, 0, (d - *rank) * d * sizeof *f);
    }
    ek_arena_reset(tmp, mark);
    return st;
}

static ek_status nuclear(const double *f1, size_t r1, const double *f2, size_t r2, size_t d,
                         double *out, ek_arena *tmp) {
    const size_t mark = ek_arena_mark(tmp), least = r1 < r2 ? r1 : r2;
    double *g = ek_arena_f64(tmp, r1 * r2 + 1), *w = ek_arena_f64(tmp, least + 1);
    *out = 0.0;
    if (g == NULL || w == NULL) return EK_ENOMEM;
    ek_status st = ek_linalg_gemm_f64(0, 1, r1, r2, d, 1.0, f1, d, f2, d, 0.0, g, r2);
    if (st == EK_OK) st = ek_linalg_singular_values_f64(g, r1, r2, w);
    for (size_t i = 0; i < least && st == EK_OK; i++) *out += w[i];
    ek_arena_reset(tmp, mark);
    return st;
}

ek_status ek_metric_root_trace(const double *s1, const double *s2, size_t d, ek_metric_root *out) {
    ek_arena *tmp = ek_arena_borrow();
    if (tmp == NULL) return EK_ENOMEM;
    *out = (ek_metric_root){0.0, 0.0, d, d, 1};
    ek_status st = cholesky_route(s1, s2, d, &out->trace, &out->full, tmp);
    if (st == EK_OK && !out->full) {
        double *f1 = ek_arena_f64(tmp, d * d + 1), *f2 = ek_arena_f64(tmp, d * d + 1);
        st = f1 && f2 ? ek_poll() : EK_ENOMEM;
        if (st == EK_OK) st = factor(s1, d, f1, &out->rank1, &out->clipped, tmp);
        if (st == EK_OK) st = ek_poll();
        if (st == EK_OK) st = factor(s2, d, f2, &out->rank2, &out->clipped, tmp);
        if (st == EK_OK) st = ek_poll();
        if (st == EK_OK) st = nuclear(f1, out->rank1, f2, out->rank2, d, &out->trace, tmp);
    }
    ek_arena_return(tmp);
    return st;
}

ek_status ek_metric_factor(const double *s, size_t d, double *f, size_t *rank, double *clipped) {
    ek_arena *tmp = ek_arena_borrow();
    if (tmp == NULL) return EK_ENOMEM;
    *clipped = 0.0;
    const ek_status st = factor(s, d, f, rank, clipped, tmp);
    ek_arena_return(tmp);
    return st;
}

ek_status ek_metric_nuclear(const double *f1, size_t r1, const double *f2, size_t r2, size_t d,
                            double *out) {
    ek_arena *tmp = ek_arena_borrow();
    if (tmp == NULL) return EK_ENOMEM;
    const ek_status st = nuclear(f1, r1, f2, r2, d, out, tmp);
    ek_arena_return(tmp);
    return st;
}
