/* A lead on its way into the network: bridged, at 250 Hz, above its baseline; where the beats are.
 */
#include "delineate.h"
#include "qrs.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

size_t delin_prepare_room(size_t stretch, double fs) {
    const size_t wide = stretch + 4 * DELIN_BOX + 8;
    const size_t samples = (size_t)((double)wide * fs / DELIN_RATE) + 16;
    return 3 * wide + 1 + (samples > wide ? samples : wide);
}

/* Position i * step of x (t), x[0] being sample `from` of the row: the mean over one output
 * interval where the rate falls, a cubic where it rises (as qrs_change_rate). */
static double at_rate(const double *x, ptrdiff_t from, ptrdiff_t t, ptrdiff_t i, double step) {
    const double end = (double)(from + t);
    if (step > 1.0) {
        double a = (double)i * step + 0.5 - 0.5 * step, b = a + step, sum = 0.0;
        a = a > (double)from ? a : (double)from;
        b = b < end ? b : end;
        const ptrdiff_t s0 = (ptrdiff_t)a, s1 = (ptrdiff_t)b;
        if (s0 == s1) return x[s0 - from];
        sum = ((double)(s0 + 1) - a) * x[s0 - from];
        for (ptrdiff_t s = s0 + 1; s < s1; s++) sum += x[s - from];
        if (b > (double)s1) sum += (b - (double)s1) * x[s1 - from];
        return sum / (b - a);
    }
    const double at = (double)i * step;
    ptrdiff_t s = (ptrdiff_t)at - from;
    s = s < 0 ? 0 : s < t ? s : t - 1;
    const double u = fmin(at - (double)(s + from), 1.0);
    const double p0 = x[s > 0 ? s - 1 : 0], p1 = x[s];
    const double p2 = x[s + 1 < t ? s + 1 : t - 1], p3 = x[s + 2 < t ? s + 2 : t - 1];
    return p1 + 0.5 * u *
                    (p2 - p0 + u * (2 * p0 - 5 * p1 + 4 * p2 - p3 + u * (3 * (p1 - p2) + p3 - p0)));
}

/* Centred running mean of 2 DELIN_BOX + 1 samples, ends held; sum (n + 1) is scratch. */
static void box(const double *x, ptrdiff_t n, double *out, double *sum) {
    const ptrdiff_t r = DELIN_BOX;
    sum[0] = 0.0;
    for (ptrdiff_t i = 0; i < n; i++) sum[i + 1] = sum[i] + x[i];
    for (ptrdiff_t i = r; i + r + 1 <= n; i++)
        out[i] = (sum[i + r + 1] - sum[i - r]) / (2 * DELIN_BOX + 1);
    for (ptrdiff_t i = 0; i < n; i++) {
        if (i == r && n > 2 * r) i = n - r; /* what lies between is done */
        const ptrdiff_t a = i - r > 0 ? i - r : 0, b = i + r + 1 < n ? i + r + 1 : n;
        const double before = (double)(a - (i - r)) * x[0];
        const double after = (double)(i + r + 1 - b) * x[n - 1];
        out[i] = (sum[b] - sum[a] + before + after) / (2 * DELIN_BOX + 1);
    }
}

static int ascending(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double delin_prepare(const float *x, size_t t, double fs, const delin_piece *piece,
                     const double *beats, float *y, float *z, double *work) {
    const double step = fs / DELIN_RATE;
    const ptrdiff_t all = (ptrdiff_t)qrs_length(t, fs), context = 2 * DELIN_BOX + 2;
    const ptrdiff_t lo = piece->lo > context ? piece->lo - context : 0;
    const ptrdiff_t hi = piece->hi + context < all ? piece->hi + context : all;
    const ptrdiff_t n = hi - lo, skip = piece->lo - lo, m = piece->hi - piece->lo;
    ptrdiff_t from = (ptrdiff_t)((double)lo * step) - 3, to = (ptrdiff_t)((double)hi * step) + 4;
    from = from > 0 ? from : 0;
    to = to < (ptrdiff_t)t ? to : (ptrdiff_t)t;
    double *wide = work, *mean = wide + n, *sum = mean + n, *filled = sum + n + 1;
    if (qrs_bridge(x + from, (size_t)(to - from), filled) == 0) return 0.0;
    ptrdiff_t i = 0;
    if (step == 2.0) { /* the commonest case: the same mean, without the search for its ends */
        if (lo == 0) wide[i++] = at_rate(filled, from, to - from, 0, step);
        for (; i < n && 2 * (lo + i) + 1 < to; i++) {
            const double *s = filled + (2 * (lo + i) - from);
            wide[i] = (0.5 * s[-1] + s[0] + 0.5 * s[1]) / 2.0;
        }
    }
    for (; i < n; i++) wide[i] = at_rate(filled, from, to - from, lo + i, step);
    box(wide, n, mean, sum);
    for (i = 0; i < m; i++) y[i] = (float)wide[skip + i];
    box(mean, n, filled, sum);
    for (i = 0; i < m; i++) z[i] = (float)(wide[skip + i] - filled[skip + i]);
    size_t count = 0;
    for (size_t b = piece->first; b <= piece->last; b++) {
        const ptrdiff_t at = (ptrdiff_t)beats[b] - piece->lo;
        ptrdiff_t a = at - DELIN_QRS_REACH, e = at + DELIN_QRS_REACH + 1;
        a = a > 0 ? a : 0;
        e = e < m ? e : m;
        float low = z[a], high = z[a];
        for (i = a; i < e; i++) {
            low = z[i] < low ? z[i] : low;
            high = z[i] > high ? z[i] : high;
        }
        mean[count++] = (double)high - (double)low;
    }
    qsort(mean, count, sizeof *mean, ascending);
    return 0.5 * (mean[(count - 1) / 2] + mean[count / 2]);
}

void delin_phase(const double *beats, size_t count, ptrdiff_t lo, size_t n, float *out) {
    size_t next = 0;
    for (size_t t = 0; t < n; t++) {
        const double at = (double)lo + (double)(DELIN_BIN * t);
        while (next < count && beats[next] <= at) next++;
        const double since = next > 0 ? (at - beats[next - 1]) / DELIN_RATE : 9.0;
        const double until = next < count ? (beats[next] - at) / DELIN_RATE : 9.0;
        const double a = since < 1.2 ? since : 1.2, b = until < 1.2 ? until : 1.2;
        out[t * DELIN_PHASE] = (float)a;
        out[t * DELIN_PHASE + 1] = (float)b;
        out[t * DELIN_PHASE + 2] = (float)(a + b < 2.0 ? a + b : 2.0);
    }
}
