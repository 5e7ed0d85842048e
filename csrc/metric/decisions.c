#include "ek_metric.h"
#include <math.h>
#include <string.h>

/* How many of the ascending thresholds x reaches. A guess for even spacing, put right by steps. */
static size_t reached(const double *threshold, size_t k, double x) {
    const double first = threshold[0], last = threshold[k - 1];
    if (x < first) return 0;
    if (x >= last) return k;
    size_t at = (size_t)((x - first) / (last - first) * (double)(k - 1));
    if (at >= k) at = k - 1;
    size_t low = 0, high = k; /* threshold[low] <= x < threshold[high] */
    for (size_t step = 0; step < 2; step++) {
        if (threshold[at] <= x) {
            low = at;
            if (x < threshold[at + 1]) return at + 1;
            at++;
        } else {
            high = at;
            if (threshold[at - 1] <= x) return at;
            at--;
        }
    }
    while (high - low > 1) {
        const size_t middle = low + (high - low) / 2;
        if (threshold[middle] <= x)
            low = middle;
        else
            high = middle;
    }
    return high;
}

/* The edges are i / bins, rounded once. */
static size_t bin_of(double p, size_t bins) {
    size_t at = (size_t)(p * (double)bins);
    if (at >= bins) at = bins - 1;
    while (at > 0 && p < (double)at / (double)bins) at--;
    while (at + 1 < bins && p >= (double)(at + 1) / (double)bins) at++;
    return at;
}

#define FLOAT      float
#define NAME(x)    x##_f32
#define DEPTH(isa) ek_metric_depth_f32_##isa
#include "decisions_impl.h"
#undef FLOAT
#undef NAME
#undef DEPTH

#define FLOAT      double
#define NAME(x)    x##_f64
#define DEPTH(isa) ek_metric_depth_f64_##isa
#include "decisions_impl.h"

typedef struct {
    const uint8_t *y, *p;
    const double *weight;
    size_t n, c;
    double *out;
} confusion_job;

static ek_status confusion_classes(void *ctx, size_t begin, size_t end, ek_arena *tmp) {
    const confusion_job *j = ctx;
    const size_t c = j->c, width = end - begin;
    (void)tmp;
    for (size_t at = begin; at < end; at++)
        for (size_t v = 0; v < 4; v++) j->out[4 * at + v] = 0.0;
    if (j->weight == NULL) {
        /* Bytes hold 255 records, then they are emptied. */
        uint8_t both[64], truth[64], called[64];
        for (size_t first = 0; first < j->n; first += 255) {
            const size_t last = first + 255 < j->n ? first + 255 : j->n;
            memset(both, 0, width);
            memset(truth, 0, width);
            memset(called, 0, width);
            for (size_t i = first; i < last; i++) {
                const uint8_t *y = j->y + i * c + begin, *p = j->p + i * c + begin;
                for (size_t v = 0; v < width; v++) {
                    both[v] = (uint8_t)(both[v] + (y[v] & p[v]));
                    truth[v] = (uint8_t)(truth[v] + y[v]);
                    called[v] = (uint8_t)(called[v] + p[v]);
                }
            }
            for (size_t v = 0; v < width; v++) {
                double *out = j->out + 4 * (begin + v);
                out[0] += both[v];
                out[1] += called[v] - both[v];
                out[2] += truth[v] - both[v];
                out[3] += (double)(last - first) - truth[v] - called[v] + both[v];
            }
        }
        return EK_OK;
    }
    double both[64] = {0}, truth[64] = {0}, called[64] = {0}, total = 0.0;
    for (size_t i = 0; i < j->n; i++) {
        const uint8_t *y = j->y + i * c + begin, *p = j->p + i * c + begin;
        const double w = j->weight[i];
        total += w;
        for (size_t v = 0; v < width; v++) {
            both[v] += w * (double)(y[v] & p[v]);
            truth[v] += w * (double)y[v];
            called[v] += w * (double)p[v];
        }
    }
    for (size_t v = 0; v < width; v++) {
        double *out = j->out + 4 * (begin + v);
        out[0] = both[v];
        out[1] = called[v] - both[v];
        out[2] = truth[v] - both[v];
        out[3] = total - truth[v] - called[v] + both[v];
    }
    return EK_OK;
}

ek_status ek_metric_confusion(const uint8_t *y, const uint8_t *p, size_t n, size_t c,
                              const double *weight, double *out) {
    confusion_job j = {y, p, weight, n, c, out};
    return ek_parallel_for(c, 64, confusion_classes, &j);
}
