/* Many outcomes against many scores: a score is ordered once, an outcome costs its cases alone. */
#include "ek_metric.h"

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
