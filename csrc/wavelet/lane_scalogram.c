/* A scalogram of few columns by the lane kernels: spectra of some groups of signals, then their
 * rows, both in parallel. */
#include "lanes.h"

enum { LONGEST = 32768, MOST_COLUMNS = 1024, GROUPS = 8, PARTS = 8 };

typedef struct {
    const ek_lane_plan *plan;
    const ek_lane_kernel *kernel;
    const float *x;
    size_t n, width; /* n: signals left */
    int power;
    float *out;
    float *bins; /* (GROUPS, bins_size) */
    size_t bins_size;
    unsigned char good[GROUPS * EK_LANES_MOST];
    size_t part[PARTS + 1]; /* rows part[p]..part[p+1]-1 cost about the same for every p */
} scalogram_job;

/* The usable signals of a group. */
static size_t members(const scalogram_job *j, size_t group, const float **x, float **out) {
    const size_t size = j->plan->bank.rows * j->width, lanes = j->kernel->lanes;
    size_t n = 0;
    for (size_t i = group * lanes; i < (group + 1) * lanes && i < j->n; i++) {
        x[n] = j->x + i * j->plan->bank.t;
        out[n] = j->out + i * size;
        n += j->good[i];
    }
    return n;
}

static ek_status spectra_body(void *ctx, size_t begin, size_t end, ek_arena *tmp) {
    scalogram_job *j = ctx;
    const float *x[EK_LANES_MOST];
    float *out[EK_LANES_MOST];
    for (size_t group = begin; group < end; group++) {
        const size_t lanes = j->kernel->lanes, size = j->plan->bank.rows * j->width;
        for (size_t i = group * lanes; i < (group + 1) * lanes && i < j->n; i++)
            j->good[i] = (unsigned char)ek_lane_usable(j->plan, j->x + i * j->plan->bank.t,
                                                       j->out + i * size);
        const size_t n = members(j, group, x, out);
        if (n == 0) continue;
        const ek_status st = j->kernel->spectra(j->plan, x, n, j->bins + group * j->bins_size, tmp);
        if (st != EK_OK) return st;
    }
    return EK_OK;
}

static ek_status rows_body(void *ctx, size_t begin, size_t end, ek_arena *tmp) {
    const scalogram_job *j = ctx;
    const float *x[EK_LANES_MOST];
    float *out[EK_LANES_MOST];
    for (size_t item = begin; item < end; item++) {
        const size_t group = item / PARTS, p = item % PARTS, n = members(j, group, x, out);
        if (n == 0 || j->part[p] == j->part[p + 1]) continue;
        const ek_status st = j->kernel->rows(j->plan, j->bins + group * j->bins_size, j->power,
                                             j->part[p], j->part[p + 1], out, n, tmp);
        if (st != EK_OK) return st;
    }
    return EK_OK;
}

/* Cost of a row: its transform (about 40 steps a point) and its columns. */
static size_t cost(const ek_lane_plan *plan, size_t row) {
    return 40 * plan->row[row].table->length + 50 * plan->columns.count;
}

static void split(scalogram_job *j) {
    const size_t rows = j->plan->bank.rows;
    size_t total = 0, sum = 0, p = 0;
    for (size_t r = 0; r < rows; r++) total += cost(j->plan, r);
    for (size_t r = 0; r < rows; r++) {
        while (p < PARTS && sum * PARTS >= p * total) j->part[p++] = r;
        sum += cost(j->plan, r);
    }
    while (p <= PARTS) j->part[p++] = rows;
}

ek_status ek_lane_scalogram(const ek_lane_kernel *kernel, const float *x, size_t n, size_t t,
                            const ek_wavelet_spec *spec, size_t width, int power, float *out) {
    if (t == 0 || t > LONGEST / 2 || width > MOST_COLUMNS) return EK_EINTERNAL;
    const ek_lane_key key = {t, t, width, 1, 0, spec, NULL};
    ek_lane_plan *plan;
    ek_status st = ek_lane_plan_get(&key, &plan);
    if (st != EK_OK) return st;
    ek_arena *tmp = ek_arena_borrow();
    scalogram_job j = {
        .plan = plan, .kernel = kernel, .x = x, .width = width, .power = power, .out = out};
    const size_t lanes = kernel->lanes;
    j.bins_size = 2 * lanes * plan->bins_total;
    split(&j);
    size_t groups = (n + lanes - 1) / lanes;
    if (groups > GROUPS) groups = GROUPS;
    j.bins = tmp ? ek_arena_f32(tmp, groups * j.bins_size) : NULL;
    if (j.bins == NULL) st = EK_ENOMEM;
    for (size_t at = 0; st == EK_OK && at < n; at += groups * lanes) {
        j.n = n - at < groups * lanes ? n - at : groups * lanes;
        j.x = x + at * t;
        j.out = out + at * spec->rows * width;
        const size_t now = (j.n + lanes - 1) / lanes;
        st = ek_parallel_for(now, 1, spectra_body, &j);
        if (st == EK_OK) st = ek_parallel_for(now * PARTS, 1, rows_body, &j);
    }
    ek_arena_return(tmp);
    ek_lane_plan_put(plan);
    return st;
}
