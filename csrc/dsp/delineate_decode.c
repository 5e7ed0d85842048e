/* From scores to waves. Between two R peaks the heart runs through QRS, ST, T, TP, P, PQ, QRS; all
 * but the two QRS may be left out. The best way through is found exactly by dynamic programming
 * over the scores, so that no wave can be doubled, nested or out of order, and a wave that does not
 * pay for its entry is absent. */
#include "delineate.h"
#include <math.h>

enum { QRS, ST, T, TP, P, PQ, NEXT, STATES };
enum { NOTHING, CLASS_P, CLASS_QRS, CLASS_T };

static const unsigned char CLASS[STATES] = {CLASS_QRS, NOTHING, CLASS_T,  NOTHING,
                                            CLASS_P,   NOTHING, CLASS_QRS};
static const signed char BEFORE[STATES][3] = {
    {-1,  -1, -1},
    {QRS, -1, -1},
    {QRS, ST, -1},
    {QRS, T,  -1},
    {TP,  T,  -1},
    {P,   -1, -1},
    {TP,  P,  PQ},
};

static const float FLOOR = -8.0f; /* no single score counts more against a path */

/* Best path over bins a..b of score; allowed sets of states are bit masks. path (b - a + 1, STATES)
 * holds the state before; walked back, it becomes the path itself in its first column. */
static void best_path(const float *score, const float *entry, size_t a, size_t b, unsigned first,
                      unsigned last, unsigned char *path) {
    double best[STATES];
    for (size_t i = a; i <= b; i++) {
        const float *s = score + i * DELIN_CLASSES;
        float top = s[0];
        double e[DELIN_CLASSES];
        for (size_t c = 1; c < DELIN_CLASSES; c++) top = s[c] > top ? s[c] : top;
        for (size_t c = 0; c < DELIN_CLASSES; c++)
            e[c] = s[c] - top > FLOOR ? (double)(s[c] - top) : FLOOR;
        unsigned char *from = path + (i - a) * STATES;
        if (i == a) {
            for (size_t k = 0; k < STATES; k++) best[k] = first >> k & 1u ? e[CLASS[k]] : -INFINITY;
            continue;
        }
        for (size_t k = STATES; k-- > 0;) { /* downward: what comes before has a lower number */
            double most = best[k];
            unsigned char arg = (unsigned char)k;
            const double gain = k == P ? entry[0] : k == T ? entry[1] : 0.0;
            for (size_t j = 0; j < 3 && BEFORE[k][j] >= 0; j++)
                if (best[BEFORE[k][j]] + gain > most) {
                    most = best[BEFORE[k][j]] + gain;
                    arg = (unsigned char)BEFORE[k][j];
                }
            best[k] = most + e[CLASS[k]];
            from[k] = arg;
        }
    }
    size_t state = STATES;
    for (size_t k = 0; k < STATES; k++)
        if (last >> k & 1u && (state == STATES || best[k] > best[state])) state = k;
    for (size_t i = b + 1; i-- > a;) {
        unsigned char *from = path + (i - a) * STATES;
        const size_t before = from[state];
        from[0] = (unsigned char)state;
        state = i == a ? state : before;
    }
}

/* Where between bins i - 1 and i the score of class d overtakes that of class c. */
static double crossing(const float *score, size_t i, size_t c, size_t d) {
    const float *s = score + i * DELIN_CLASSES, *r = s - DELIN_CLASSES;
    const double before = (double)r[d] - r[c], after = (double)s[d] - s[c];
    if (after <= before) return (double)i - 0.5;
    return (double)i - 1.0 + fmin(fmax(-before / (after - before), 0.0), 1.0);
}

static void interval(const float *score, const float *entry, size_t a, size_t b, unsigned first,
                     unsigned last, ptrdiff_t lo, double *left, double *right,
                     unsigned char *path) {
    if (b <= a) return;
    best_path(score, entry, a, b, first, last, path);
    for (size_t i = a + 1; i <= b; i++) {
        const size_t s = path[(i - a - 1) * STATES], e = path[(i - a) * STATES];
        if (s == e) continue;
        const double at = (double)lo + DELIN_BIN * crossing(score, i, CLASS[s], CLASS[e]);
        if (left != NULL && s == QRS) left[3] = at;
        if (left != NULL && e == T) left[4] = at;
        if (left != NULL && s == T) left[5] = at;
        if (right != NULL && e == P) right[0] = at;
        if (right != NULL && s == P) right[1] = at;
        if (right != NULL && e == NEXT) right[2] = at;
    }
}

void delin_decode(const float *score, const float *entry, const delin_piece *piece, size_t n4,
                  const double *beats, double *bounds, unsigned char *path) {
    const size_t beats_here = piece->last - piece->first + 1, end = 4 * n4 - 1;
    const size_t reach = DELIN_OPEN / DELIN_BIN;
    for (size_t i = 0; i < 6 * beats_here; i++) bounds[i] = NAN;
    size_t before = 0;
    for (size_t k = 0; k < beats_here; k++) {
        const double bin = nearbyint((beats[piece->first + k] - (double)piece->lo) / DELIN_BIN);
        const size_t r = bin < 0.0 ? 0 : bin > (double)end ? end : (size_t)bin;
        double *own = bounds + 6 * k;
        if (k > 0)
            interval(score, entry, before, r, 1u << QRS, 1u << NEXT, piece->lo, own - 6, own, path);
        else if (piece->open_start)
            interval(score, entry, r > reach ? r - reach : 0, r,
                     1u << T | 1u << TP | 1u << P | 1u << PQ | 1u << NEXT, 1u << NEXT, piece->lo,
                     NULL, own, path);
        before = r;
    }
    if (piece->open_end)
        interval(score, entry, before, before + reach < end ? before + reach : end, 1u << QRS,
                 (1u << NEXT) - 1u, piece->lo, bounds + 6 * (beats_here - 1), NULL, path);
}
