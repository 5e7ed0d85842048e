/* Peaks between bounds, and the fusion of leads. */
#include "delineate.h"
#include <math.h>
#include <stdlib.h>

enum { SMOOTH = 5 }; /* half length of the Hann window that steadies P and T peaks, 44 ms in all */

static double smoothed(const float *y, ptrdiff_t n, ptrdiff_t i) {
    double sum = 0.0, weight = 0.0;
    for (ptrdiff_t k = -SMOOTH; k <= SMOOTH; k++) {
        const double h = 0.5 + 0.5 * cos(M_PI * (double)k / (SMOOTH + 1));
        ptrdiff_t at = i + k;
        at = at < 0 ? 0 : at < n ? at : n - 1;
        sum += h * y[at];
        weight += h;
    }
    return sum / weight;
}

/* The smoothed sample furthest from the line through the bounds, refined by a parabola. */
double delin_bump_peak(const float *y, ptrdiff_t lo, ptrdiff_t hi, double onset, double offset) {
    const ptrdiff_t n = hi - lo;
    ptrdiff_t a = (ptrdiff_t)nearbyint(onset) - lo, b = (ptrdiff_t)nearbyint(offset) - lo;
    a = a < 0 ? 0 : a;
    b = b < n ? b : n - 1;
    if (b - a < 2) return 0.5 * (onset + offset);
    const double ya = smoothed(y, n, a), slope = (smoothed(y, n, b) - ya) / (double)(b - a);
    double most = -1.0, d[3] = {0.0, 0.0, 0.0}, best[3] = {0.0, 0.0, 0.0};
    ptrdiff_t at = a + 1;
    d[1] = 0.0;
    d[2] = smoothed(y, n, a + 1) - ya - slope;
    for (ptrdiff_t i = a + 1; i < b; i++) {
        d[0] = d[1];
        d[1] = d[2];
        d[2] = smoothed(y, n, i + 1) - ya - slope * (double)(i + 1 - a);
        if (fabs(d[1]) > most) {
            most = fabs(d[1]);
            at = i;
            for (int k = 0; k < 3; k++) best[k] = d[k];
        }
    }
    const double bend = best[0] - 2.0 * best[1] + best[2];
    const double shift = bend != 0.0 ? 0.5 * (best[0] - best[2]) / bend : 0.0;
    return (double)(at + lo) + fmin(fmax(shift, -0.5), 0.5);
}

/* Above the line through the bounds: R, the first peak of at least FIRST of the highest that the
 * trace leaves by DIP of it; or the deepest point, where R is less than LEAST of the depth. */
int64_t delin_qrs_peak(const float *x, size_t t, int64_t onset, int64_t offset) {
    static const double FIRST = 0.45, DIP = 0.1, LEAST = 0.03;
    const int64_t a = onset < 0 ? 0 : onset, b = offset < (int64_t)t ? offset : (int64_t)t - 1;
    if (b <= a) return a;
    const double ya = x[a], slope = ((double)x[b] - ya) / (double)(b - a);
    double top = 0.0, bottom = 0.0;
    int64_t low = a;
    for (int64_t i = a; i <= b; i++) {
        const double d = x[i] - ya - slope * (double)(i - a);
        top = d > top ? d : top;
        if (d < bottom) {
            bottom = d;
            low = i;
        }
    }
    if (!(top > -LEAST * bottom)) return low;
    double best = 0.0;
    int64_t high = a;
    for (int64_t i = a; i <= b; i++) {
        const double d = x[i] - ya - slope * (double)(i - a);
        if (best >= FIRST * top && d < best - DIP * top) break;
        if (d > best) {
            best = d;
            high = i;
        }
    }
    return high;
}

static int ascending(const void *a, const void *b) {
    const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

/* How far apart leads may lie that confirm one another, in s: bounds of P, QRS, T. */
static const double TOLERANCE[3] = {0.016, 0.012, 0.024};
enum { NEED = 3, MOST_LEADS = 64 };

/* Earliest of v (ascending) that need - 1 others follow within the tolerance, else the median. */
static int64_t earliest(const int64_t *v, size_t n, size_t need, double within) {
    for (size_t i = 0; i + need <= n; i++)
        if ((double)(v[i + need - 1] - v[i]) <= within) return v[i];
    return v[n / 2];
}

void delin_fuse(const int64_t *points, size_t lead, double fs, int64_t r, int64_t *fused) {
    for (size_t wave = 0; wave < 3; wave++) {
        int64_t v[3][MOST_LEADS];
        size_t n = 0;
        for (size_t l = 0; l < lead && n < MOST_LEADS; l++) {
            const int64_t *p = points + l * EK_DELINEATE_POINTS + 3 * wave;
            if (p[0] < 0) continue;
            v[0][n] = p[0];
            v[1][n] = p[1];
            v[2][n++] = -p[2]; /* the latest offset is the earliest from the other side */
        }
        const size_t half = (lead + 1) / 2, need = half < NEED ? half : NEED;
        if (n < need || n == 0) continue;
        for (int k = 0; k < 3; k++) qsort(v[k], n, sizeof v[k][0], ascending);
        const double within = TOLERANCE[wave] * fs;
        int64_t *to = fused + 3 * wave;
        to[0] = earliest(v[0], n, need, within);
        to[2] = -earliest(v[2], n, need, within);
        if (to[2] - to[0] < 2) { /* the leads speak of different waves */
            to[0] = to[2] = -1;
            continue;
        }
        to[1] = wave == 1 ? r : v[1][n / 2];
        to[1] = to[1] <= to[0] ? to[0] + 1 : to[1] >= to[2] ? to[2] - 1 : to[1];
    }
}
