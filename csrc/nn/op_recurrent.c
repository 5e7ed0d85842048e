/* The recurrent part of one LSTM or GRU layer. The input part, x W_ih^T and the biases that can be
 * added beforehand, is a linear step before it.
 *   recurrent   bufs sums, out, [h0], [c0], [hn], [cn]   ints items, time, directions, hidden,
 *               gates (4: LSTM, i f g o; 3: GRU, r z n)
 *               arrays weight_hh (gates*hidden, hidden) per direction; GRU: then the state's bias
 *               of gate n (hidden) per direction
 *               sums (items, time, directions, gates, hidden), an LSTM's gates as ek_lstm_at has
 *               them; out (items, time, directions*hidden); h0 c0 hn cn (items, directions,
 *               hidden), c0 cn of LSTMs alone
 * A unit is one direction of a few sequences: two cores take a direction each, or half of them. */
#include "nn_step.h"
#include <string.h>

enum { GRU = 3, LSTM = 4, POLL = 256 };

typedef struct {
    size_t items, time, directions, hidden, gates, pitch;
    float weight[]; /* (directions, hidden * pitch), then (directions, hidden) biases */
} recurrent_data;

static ek_status recurrent_init(ek_nn_step *s, const ek_nn_args *a) {
    if (a->nbufs != 6 || a->nints != 5 || s->buf[0] == NULL || s->buf[1] == NULL) return EK_EVALUE;
    for (size_t i = 0; i < 5; i++)
        if (a->ints[i] < 1 || a->ints[i] > INT32_MAX) return EK_EVALUE;
    const size_t items = (size_t)a->ints[0], time = (size_t)a->ints[1], dirs = (size_t)a->ints[2],
                 hidden = (size_t)a->ints[3], gates = (size_t)a->ints[4];
    const int gru = gates == GRU;
    if ((!gru && gates != LSTM) || dirs > 2 || a->narrays != (gru ? 2 : 1) * dirs ||
        (gru && (s->buf[3] || s->buf[5])))
        return EK_EVALUE;
    const size_t width = s->isa->width, pitch = ek_nn_ceil(gates * hidden, width) * width;
    size_t steps, weights, sums, states, floats;
    if (__builtin_mul_overflow(items, time, &steps) ||
        __builtin_mul_overflow(items * dirs, hidden, &states) ||
        __builtin_mul_overflow(hidden * dirs, pitch, &weights) ||
        __builtin_mul_overflow(steps, dirs * gates * hidden, &sums) ||
        __builtin_add_overflow(weights, dirs * hidden, &floats) || floats > ((size_t)1 << 40))
        return EK_EVALUE;
    for (size_t i = 0; i < 6; i++) {
        const ek_nn_buf *b = s->buf[i];
        if (b == NULL) continue;
        if (b->lanes != 1 || ek_nn_has_border(b)) return EK_EVALUE;
        if (b->size != (i == 0 ? sums : i == 1 ? steps * dirs * hidden : states)) return EK_EVALUE;
    }
    for (size_t i = 0; i < a->narrays; i++)
        if (a->lengths[i] != (i < dirs ? gates * hidden * hidden : hidden)) return EK_EVALUE;
    s->data_bytes = sizeof(recurrent_data) + floats * sizeof(float);
    recurrent_data *l = s->data = ek_aligned_alloc(s->data_bytes);
    if (l == NULL) return EK_ENOMEM;
    *l = (recurrent_data){items, time, dirs, hidden, gates, pitch};
    memset(l->weight, 0, floats * sizeof(float));
    for (size_t d = 0; d < dirs; d++) {
        float *w = l->weight + d * hidden * pitch;
        for (size_t j = 0; j < gates * hidden; j++)
            for (size_t k = 0; k < hidden; k++)
                w[ek_recur_at(hidden, gates * hidden, width, k,
                              gru ? j : ek_lstm_at(hidden, j / hidden, j % hidden))] =
                    a->arrays[d][j * hidden + k];
        if (gru) memcpy(l->weight + weights + d * hidden, a->arrays[dirs + d], hidden * 4);
    }
    return EK_OK;
}

/* Sequences of a unit: as many as share the stream of weights, in units of equal size, one for
 * each thread at least. */
static size_t unit_rows(const ek_nn_step *s, const ek_nn_call *c) {
    const recurrent_data *l = s->data;
    const size_t all = c->n * l->items, least = ek_nn_ceil(c->threads, l->directions);
    const size_t units = ek_nn_ceil(all, s->isa->recur_rows);
    return ek_nn_ceil(all, units > least ? units : least);
}

static size_t recurrent_units(const ek_nn_step *s, const ek_nn_call *c) {
    const recurrent_data *l = s->data;
    return l->directions * ek_nn_ceil(c->n * l->items, unit_rows(s, c));
}

/* A unit's sequences of one direction, from the first time step to the last. */
typedef struct {
    size_t dir, first, rows;
    float *sums[EK_RECUR_ROWS], *cell[EK_RECUR_ROWS], *h[EK_RECUR_ROWS];
} group;

static ek_status walk(const ek_nn_step *s, const ek_nn_call *c, const group *g) {
    const recurrent_data *l = s->data;
    const size_t hidden = l->hidden, all_sums = l->gates * hidden, bytes = hidden * sizeof(float);
    const float *bias = l->weight + l->directions * hidden * l->pitch + g->dir * hidden;
    const float *from[EK_RECUR_ROWS];
    ek_recur p = {.h = (const float *const *)g->h,
                  .from = from,
                  .to = g->sums,
                  .w = l->weight + g->dir * hidden * l->pitch,
                  .rows = g->rows,
                  .hidden = hidden,
                  .columns = all_sums};
    for (size_t i = 0; i < l->time; i++) {
        const size_t t = g->dir == 0 ? i : l->time - 1 - i;
        size_t place[EK_RECUR_ROWS]; /* the sequence's time step and direction */
        for (size_t r = 0; r < g->rows; r++) {
            place[r] = ((g->first + r) * l->time + t) * l->directions + g->dir;
            from[r] = ek_nn_at(c, s->buf[0]) + place[r] * all_sums;
            if (l->gates == LSTM) continue;
            memcpy(g->sums[r], from[r], 2 * bytes); /* r and z; n has its own bias */
            memcpy(g->sums[r] + 2 * hidden, bias, bytes);
            from[r] = g->sums[r];
        }
        p.backwards = i % 2; /* what the last step read last, still in the first cache, is first */
        s->isa->recur(&p);
        for (size_t r = 0; r < g->rows; r++) {
            if (l->gates == LSTM)
                s->isa->lstm_cell(g->sums[r], g->cell[r], g->h[r], hidden);
            else
                s->isa->gru_cell(g->sums[r], hidden,
                                 ek_nn_at(c, s->buf[0]) + place[r] * all_sums + 2 * hidden, g->h[r],
                                 hidden);
            memcpy(ek_nn_at(c, s->buf[1]) + place[r] * hidden, g->h[r], bytes);
        }
        if (i % POLL == POLL - 1) {
            const ek_status st = ek_poll();
            if (st != EK_OK) return st;
        }
    }
    return EK_OK;
}

static ek_status recurrent_run(const ek_nn_step *s, const ek_nn_call *c, size_t begin, size_t end,
                               ek_arena *tmp) {
    const recurrent_data *l = s->data;
    const size_t bytes = l->hidden * sizeof(float), all = c->n * l->items, most = unit_rows(s, c);
    const size_t wide = ek_nn_ceil(l->hidden, s->isa->width) * s->isa->width;
    /* the last gate of the sums is read in whole vectors too */
    const size_t room = l->pitch + s->isa->width, scratch = most * (room + 2 * wide);
    float *memory = ek_arena_f32(tmp, scratch);
    if (memory == NULL) return EK_ENOMEM;
    ek_status st = EK_OK;
    for (size_t u = begin; u < end && st == EK_OK; u++) {
        group g = {.dir = u % l->directions, .first = u / l->directions * most};
        g.rows = all - g.first < most ? all - g.first : most;
        memset(memory, 0, scratch * sizeof(float));
        for (size_t r = 0; r < g.rows; r++) {
            const size_t state = ((g.first + r) * l->directions + g.dir) * l->hidden;
            g.sums[r] = memory + r * (room + 2 * wide);
            g.cell[r] = g.sums[r] + room;
            g.h[r] = g.cell[r] + wide;
            if (s->buf[2]) memcpy(g.h[r], ek_nn_at(c, s->buf[2]) + state, bytes);
            if (s->buf[3]) memcpy(g.cell[r], ek_nn_at(c, s->buf[3]) + state, bytes);
        }
        st = walk(s, c, &g);
        for (size_t r = 0; r < g.rows && st == EK_OK; r++) {
            const size_t state = ((g.first + r) * l->directions + g.dir) * l->hidden;
            if (s->buf[4]) memcpy(ek_nn_at(c, s->buf[4]) + state, g.h[r], bytes);
            if (s->buf[5]) memcpy(ek_nn_at(c, s->buf[5]) + state, g.cell[r], bytes);
        }
    }
    return st;
}

const ek_nn_op ek_nn_recurrent = {"recurrent", recurrent_init, recurrent_units, recurrent_run};
