/* frechet.h: what the variants of the curve distance share.
 * The table C[i][j] = max(d(i, j), min(C[i-1][j], C[i-1][j-1], C[i][j-1])) is walked by diagonals
 * k = i + j, several per pass: lane i of diagonal k needs lanes i and i-1 of k-1 and lane i-1 of
 * k-2. Two arrays of n values hold the last two diagonals; cells outside the table are +inf, which
 * the padding of p (-inf) and of the reversed q (+inf) makes by itself. */
#ifndef EK_METRIC_FRECHET_H
#define EK_METRIC_FRECHET_H
#include "ek_metric.h"

enum {
    EK_FRECHET_PAD = 64 /* values before and behind every array */
};

/* One pass: one or `steps` diagonals from k on, lanes first..last (multiples of the vector width
 * from the arrays' start, the last one covered by the padding). a: diagonal k-1, b: k-2, both
 * replaced by the last two of the pass. p from lane 0; q so that q[i] meets lane i on diagonal k,
 * q[i-1] on k+1. plane: the squared time scale, below 0 for amplitudes alone; x2 (i) = 2 i. */
typedef struct {
    const void *p, *q, *x2;
    void *a, *b;
    size_t first, last;
    double scale; /* of one sample of time; amplitude mode: below 0 */
    double k;     /* the first diagonal's number */
} ek_frechet_pass;

typedef void (*ek_frechet_pass_fn)(const ek_frechet_pass *t);
typedef struct {
    ek_frechet_pass_fn one, step; /* one diagonal, `steps` */
    size_t steps, width;          /* diagonals of a full pass, lanes of a vector */
} ek_frechet_kernel;

#define EK_FRECHET_DECLARE(isa)                                                                    \
    void ek_frechet_one_f32_##isa(const ek_frechet_pass *t);                                       \
    void ek_frechet_step_f32_##isa(const ek_frechet_pass *t);                                      \
    void ek_frechet_one_f64_##isa(const ek_frechet_pass *t);                                       \
    void ek_frechet_step_f64_##isa(const ek_frechet_pass *t)
EK_FRECHET_DECLARE(avx2);
EK_FRECHET_DECLARE(avx512);
#endif
