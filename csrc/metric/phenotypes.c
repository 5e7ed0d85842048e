/* Many outcomes against many scores: a score is ordered once, an outcome costs its cases alone. */
#include "ek_metric.h"
#include <math.h>
#include <string.h>

typedef struct {
    const uint32_t *order;
    size_t n, d;
    const int64_t *start;
    const int32_t *cases;
    double *out, *ties;
} rank_sums_job;

static ek_status rank_sums_features(void *ctx, size_t begin, size_t end, ek_arena *tmp) {
    const rank_sums_job *j = ctx;
    const size_t mark = ek_arena_mark(tmp);
    uint32_t *twice = ek_arena_alloc(tmp, j->n + 1, sizeof *twice); /* mid-rank of a record */
    if (twice == NULL) return EK_ENOMEM;
    for (size_t f = begin; f < end; f++) {
        const uint32_t *order = j->order + f * j->n;
        double ties = 0.0;
        for (size_t i = 0, first = 0; i < j->n; i++) {
            if (!(order[i] & EK_ORDER_LAST)) continue;
            const double t = (double)(i + 1 - first);
            ties += t * (t * t - 1.0);
            const uint32_t rank = (uint32_t)(first + i + 2);
            for (; first <= i; first++) twice[order[first] & EK_ORDER_ROW] = rank;
        }
        j->ties[f] = ties;
        for (size_t k = 0; k < j->d; k++) {
            uint64_t sum = 0;
            for (int64_t v = j->start[k]; v < j->start[k + 1]; v++) sum += twice[j->cases[v]];
            j->out[f * j->d + k] = (double)sum;
        }
    }
    ek_arena_reset(tmp, mark);
    return EK_OK;
}

ek_status ek_metric_rank_sums(const uint32_t *order, size_t n, size_t p, const int64_t *start,
                              const int32_t *cases, size_t d, double *out, double *ties) {
    for (size_t k = 0; k < d; k++)
        if (start[k] < 0 || start[k] > start[k + 1]) return EK_EVALUE;
    for (int64_t v = d ? start[0] : 0; d && v < start[d]; v++)
        if (cases[v] < 0 || (size_t)cases[v] >= n) return EK_EVALUE;
    rank_sums_job j = {order, n, d, start, cases, out, ties};
    return ek_parallel_for(p, 1, rank_sums_features, &j);
}

enum { STRIPE = 64 }; /* columns of a piece */

typedef struct {
    const double *x;
    size_t n, d, k;
    const int64_t *member;
    double *length, *sums;
} class_job;

static ek_status class_lengths(void *ctx, size_t begin, size_t end, ek_arena *tmp) {
    const class_job *j = ctx;
    (void)tmp;
    for (size_t i = begin; i < end; i++) {
        const double *x = j->x + i * j->d;
        double part[8] = {0}; /* eight sums: one would wait for itself */
        size_t at = 0;
        for (; at + 8 <= j->d; at += 8)
            for (size_t v = 0; v < 8; v++) part[v] += x[at + v] * x[at + v];
        for (; at < j->d; at++) part[0] += x[at] * x[at];
        const double square = ((part[0] + part[1]) + (part[2] + part[3])) +
                              ((part[4] + part[5]) + (part[6] + part[7]));
        j->length[i] = sqrt(square);
        if (!(square > 0.0 && square <= 0x1.fffffffffffffp1023)) return EK_EVALUE;
        if (j->member[i] < 0 || (size_t)j->member[i] >= j->k) return EK_EVALUE;
    }
    return EK_OK;
}

static ek_status class_stripes(void *ctx, size_t begin, size_t end, ek_arena *tmp) {
    const class_job *j = ctx;
    (void)tmp;
    for (size_t c = 0; c < j->k; c++)
        memset(j->sums + c * j->d + begin, 0, (end - begin) * sizeof *j->sums);
    for (size_t i = 0; i < j->n; i++) {
        const double *restrict x = j->x + i * j->d, one = 1.0 / j->length[i];
        double *restrict sum = j->sums + (size_t)j->member[i] * j->d;
        for (size_t at = begin; at < end; at++) sum[at] += x[at] * one;
    }
    return EK_OK;
}

ek_status ek_metric_class_sums(const double *x, size_t n, size_t d, const int64_t *member, size_t k,
                               double *length, double *sums) {
    class_job j = {x, n, d, k, member, length, sums};
    const ek_status st = ek_parallel_for(n, 1 + 65536 / (d + 1), class_lengths, &j);
    if (st != EK_OK) return st;
    return ek_parallel_for(d, STRIPE, class_stripes, &j);
}
