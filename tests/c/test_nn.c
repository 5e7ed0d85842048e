/* The ops of the engine on odd sizes, its arrays and weights between guard pages: nothing is read
 * or written beyond them, every number of the result is written, and its bits do not depend on the
 * number of threads or on how many samples run together. Then eight threads share one program. */
#include "ek_test.h"
#include "ek_nn.h"
#include <pthread.h>

enum { MOST_BUFS = 5, MOST_INTS = 44, ABSENT = 4, SAMPLES = 3, THREADS = 8 };

/* One step. Buffers with lanes 16 or a border are reached through copies from and to plain arrays;
 * `out` is the one that is written. */
typedef struct {
    const char *op;
    ek_nn_buf bufs[MOST_BUFS];
    size_t nbufs, out;
    int64_t ints[MOST_INTS];
    size_t nints;
    double reals[2];
    size_t nreals, lengths[3], narrays;
    size_t absent; /* buffers that are left out, after the others */
} one_step;

/* clang-format off */
#define PLAIN(n) {.items = 1, .c = 1, .h = 1, .w = (n), .lanes = 1}
#define PICTURE(i, ch, y, x) {.items = (i), .c = (ch), .h = (y), .w = (x), .lanes = 16}
#define BORDERED(i, ch, y, x, b)                                                                   \
    {.items = (i), .c = (ch), .h = (y), .w = (x), .lanes = 16, .top = (b), .bottom = (b),          \
     .left = (b), .right = (b)}
#define INTS(...)                                                                                  \
    .ints = {__VA_ARGS__}, .nints = sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t)

static const one_step STEPS[] = {
    {"act", {PLAIN(77), PLAIN(77)}, 2, 1, INTS(6), {0.0}, 1, {0}, 0},
    {"act", {PICTURE(2, 19, 3, 7), BORDERED(2, 19, 3, 7, 1)}, 2, 1, INTS(4), {0.0}, 1, {0}, 0},
    {"affine", {PICTURE(1, 21, 3, 5), PICTURE(1, 21, 3, 5)}, 2, 1, INTS(1), {0.0}, 1, {21, 21}, 2},
    {"binary", {PLAIN(91), PLAIN(91), PLAIN(91)}, 3, 2, INTS(6, 0), {0.0}, 1, {0}, 0},
    {"broadcast", {PLAIN(35), PLAIN(7), PLAIN(35)}, 3, 2, INTS(1, 1, 5, 7, 7, 1, 0, 1), {0.0}, 1, {0}, 0},
    {"concat", {PLAIN(39), PLAIN(15), PLAIN(24)}, 3, 0, INTS(3, 5, 8), {0.0}, 0, {0}, 0},
    {"constant", {PLAIN(13)}, 1, 0, .narrays = 1, .lengths = {13}},
    {"conv", {BORDERED(1, 19, 5, 9, 1), PICTURE(1, 21, 5, 9)}, 2, 1,
     INTS(3, 3, 1, 1, 1, 1, 1, 1, 1, 1), {0.0}, 1, {21 * 19 * 9, 21}, 2},
    {"conv_any", {{.items = 1, .c = 6, .h = 1, .w = 23, .lanes = 1, .left = 2, .right = 2},
     {.items = 1, .c = 9, .h = 1, .w = 23, .lanes = 1}}, 2, 1,
     INTS(1, 5, 1, 1, 1, 1, 0, 2, 3, 0), {0.0}, 1, {9 * 2 * 5, 9}, 2},
    {"depthwise", {BORDERED(2, 19, 5, 9, 1), PICTURE(2, 19, 5, 9)}, 2, 1,
     INTS(3, 3, 1, 1, 1, 1, 1, 1, 4), {0.0}, 1, {19 * 9, 19}, 2},
    {"gate", {PICTURE(2, 19, 3, 7), PLAIN(38), PICTURE(2, 19, 3, 7)}, 3, 2, INTS(1, 0), {0.0}, 1, {0}, 0},
    {"gather", {PLAIN(3 * 5 * 2), PLAIN(3 * 1 * 2)}, 2, 1, INTS(3, 5, 1, 2, 1, 0), {2.0}, 1, {1}, 1},
    {"group_norm", {PLAIN(12 * 11), PLAIN(12 * 11)}, 2, 1, INTS(3, 3, 4, 11, 1), {1e-5}, 1, {12, 12}, 2},
    {"layer_norm", {PLAIN(3 * 37), PLAIN(3 * 37)}, 2, 1, INTS(3, 37), {1e-5}, 1, {37, 37}, 2},
    {"layout", {PICTURE(2, 35, 3, 5), BORDERED(2, 35, 3, 5, 2)}, 2, 1, .nints = 0},
    {"linear", {PLAIN(5 * 19), PLAIN(5 * 37)}, 2, 1, INTS(5, 2), {0.0}, 1, {37 * 19, 37}, 2},
    {"permute", {PLAIN(3 * 4 * 5), PLAIN(5 * 3 * 4)}, 2, 1, INTS(5, 3, 4, 1, 20, 5, 0), {0.0}, 0, {0}, 0},
    {"pool", {PICTURE(1, 19, 7, 9), PICTURE(1, 19, 4, 5)}, 2, 1,
     INTS(0, 3, 3, 2, 2, 1, 1, 1, 1, 1, 1, 0), {0.0}, 0, {0}, 0},
    {"pool", {PICTURE(1, 19, 7, 9), PICTURE(1, 19, 4, 5)}, 2, 1,
     INTS(1, 3, 3, 2, 2, 1, 1, 1, 1, 1, 1, 1), {0.0}, 0, {0}, 0},
    {"pool", {PICTURE(2, 19, 7, 9), PICTURE(2, 19, 3, 2)}, 2, 1,
     INTS(2, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0), {0.0}, 0, {0}, 0},
    {"recurrent", {PLAIN(5 * 7 * 2 * 4 * 16), PLAIN(5 * 7 * 2 * 16)}, 2, 1,
     INTS(5, 7, 2, 16, 4), {0.0}, 0, {4 * 16 * 16, 4 * 16 * 16}, 2, .absent = ABSENT},
    {"reduce", {PLAIN(3 * 7 * 5), PLAIN(3 * 5)}, 2, 1, INTS(5, 3, 7, 5), {1.0}, 1, {0}, 0},
    {"reduce", {PLAIN(3 * 301), PLAIN(3)}, 2, 1, INTS(0, 3, 301, 1), {0.0}, 1, {0}, 0},
    {"softmax", {PLAIN(3 * 37), PLAIN(3 * 37)}, 2, 1, INTS(3, 37, 1), {0.0}, 0, {0}, 0},
    {"unary", {PLAIN(77), PLAIN(77)}, 2, 1, INTS(14), {0.0, 0.0}, 2, {0}, 0},
    {"winograd", {BORDERED(1, 35, 6, 8, 1), PICTURE(1, 33, 6, 8)}, 2, 1,
     INTS(0, 1, 1, 1), {0.0}, 1, {33 * 35 * 9, 33}, 2},
    {"winograd", {BORDERED(1, 32, 1, 8, 1), PICTURE(1, 33, 1, 4)}, 2, 1,
     INTS(2, 1, 1, 1), {0.0}, 1, {33 * 32 * 6, 33}, 2},
    {"attention", {PLAIN(7 * 6), PLAIN(5 * 6), PLAIN(5 * 8), PLAIN(7 * 8)}, 4, 3,
     INTS(2, 7, 5, 3, 4, 0, 1, 1, 1, 0, 0, 0, 0, 6, 3, 0, 0, 0, 0, 6, 3, 0, 0, 0, 0, 8, 4, 0, 0, 0,
          0, 8, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0), {0.5}, 1, {0, 0}, 2},
};
/* clang-format on */

static int direct(const ek_nn_buf *b) {
    return b->lanes == 1 && b->top + b->bottom + b->left + b->right == 0;
}

static size_t room(const ek_nn_buf *b) { /* floats of one sample, to whole vectors */
    const size_t blocks = b->lanes == 1 ? b->c : (b->c + 15) / 16;
    const size_t floats =
        b->items * blocks * (b->top + b->h + b->bottom) * (b->left + b->w + b->right) * b->lanes;
    return (floats + 15) / 16 * 16;
}

/* The step with copies around it; slot i + 1 is the plain array of its buffer i. */
static ek_nn *build(const one_step *t, size_t block, ek_guard *weights) {
    ek_nn_buf bufs[2 * MOST_BUFS];
    size_t place[MOST_BUFS + ABSENT], end = 0;
    for (size_t i = 0; i < MOST_BUFS + ABSENT; i++) place[i] = SIZE_MAX;
    for (size_t i = 0; i < t->nbufs; i++) {
        const ek_nn_buf *b = &t->bufs[i];
        bufs[i] = (ek_nn_buf){
            .slot = i + 1, .items = b->items, .c = b->c, .h = b->h, .w = b->w, .lanes = 1};
        bufs[t->nbufs + i] = *b;
        bufs[t->nbufs + i].offset = end;
        place[i] = direct(b) ? i : t->nbufs + i;
        end += room(b);
    }
    ek_nn *p = NULL;
    CHECK_STATUS(ek_nn_new(bufs, 2 * t->nbufs, t->nbufs + 1, block, &p), EK_OK);
    const float *arrays[3];
    for (size_t i = 0; i < t->narrays; i++) {
        weights[i] = ek_guarded(t->lengths[i] * sizeof(float), 1);
        ek_noise(weights[i].p, t->lengths[i], (uint32_t)(i + 7));
        if (strcmp(t->op, "gather") == 0) memset(weights[i].p, 0, t->lengths[i] * sizeof(float));
        arrays[i] = weights[i].p;
    }
    for (size_t i = 0; i < t->nbufs; i++)
        if (i != t->out && place[i] != i) {
            const size_t pair[2] = {i, place[i]};
            CHECK_STATUS(ek_nn_add(p, "layout", &(ek_nn_args){.bufs = pair, .nbufs = 2}), EK_OK);
        }
    const ek_nn_args args = {place,    t->ints,    t->reals,
                             arrays,   t->lengths, t->nbufs + t->absent,
                             t->nints, t->nreals,  t->narrays};
    CHECK_STATUS(ek_nn_add(p, t->op, &args), EK_OK);
    if (place[t->out] != t->out) {
        const size_t pair[2] = {place[t->out], t->out};
        CHECK_STATUS(ek_nn_add(p, "layout", &(ek_nn_args){.bufs = pair, .nbufs = 2}), EK_OK);
    }
    return p;
}

static void every_op(int at_end) {
    for (size_t k = 0; k < sizeof STEPS / sizeof *STEPS; k++) {
        const one_step *t = &STEPS[k];
        ek_guard weights[3], data[MOST_BUFS], again;
        ek_nn *p = build(t, 1 + k % 2, weights);
        float *arrays[MOST_BUFS + 1] = {NULL};
        const int before = ek_failures;
        for (size_t i = 0; i < t->nbufs; i++) {
            const size_t floats = SAMPLES * ek_nn_slot_size(p, i + 1);
            data[i] = ek_guarded(floats * sizeof(float), at_end);
            if (i != t->out) ek_noise(data[i].p, floats, (uint32_t)(k + i));
            arrays[i + 1] = data[i].p;
        }
        const size_t size = ek_nn_slot_size(p, t->out + 1), bytes = size * sizeof(float);
        again = ek_guarded(SAMPLES * bytes, at_end);
        ek_threads_set(1);
        CHECK_STATUS(ek_nn_run(p, SAMPLES, arrays, NULL), EK_OK);
        const float *want = data[t->out].p;
        for (size_t i = 0; i < SAMPLES * size; i++) CHECK(!isnan(want[i]));
        ek_threads_set(2);
        for (size_t n = 1; n <= SAMPLES; n += 2) { /* one by one, and all at once */
            memset(again.p, 0xff, SAMPLES * bytes);
            for (size_t s = 0; s < SAMPLES; s += n) {
                float *part[MOST_BUFS + 1] = {NULL};
                for (size_t i = 1; i <= t->nbufs; i++)
                    part[i] = arrays[i] + s * ek_nn_slot_size(p, i);
                part[t->out + 1] = (float *)again.p + s * size;
                CHECK_STATUS(ek_nn_run(p, n, part, NULL), EK_OK);
            }
            CHECK(memcmp(again.p, want, SAMPLES * bytes) == 0);
        }
        if (ek_failures != before) fprintf(stderr, "  in step %zu, %s\n", k, t->op);
        ek_nn_free(p);
        for (size_t i = 0; i < t->narrays; i++) ek_unguard(&weights[i]);
        for (size_t i = 0; i < t->nbufs; i++) ek_unguard(&data[i]);
        ek_unguard(&again);
    }
}

static void everywhere(void) {
    const unsigned sets[] = {0, EK_CPU_AVX2, EK_CPU_AVX2 | EK_CPU_AVX512};
    for (size_t i = 0; i < 3; i++) {
        if ((sets[i] & ek_cpu_available()) != sets[i]) continue;
        ek_cpu_use(sets[i]);
        every_op(0);
        every_op(1);
    }
    ek_cpu_use(~0u);
}

/* ids outside the table end the run */
static void embedding(void) {
    const one_step t = {
        "embedding", {PLAIN(3), PLAIN(12)},
         2, 1, INTS(3, 5, 4), {0.0       },
         0, {20},
         1
    };
    ek_guard weights[3];
    ek_nn *p = build(&t, 1, weights);
    float ids[3] = {4, 0, 2}, out[12];
    float *arrays[3] = {NULL, ids, out};
    CHECK_STATUS(ek_nn_run(p, 1, arrays, NULL), EK_OK);
    for (size_t i = 0; i < 4; i++) CHECK(out[i] == ((float *)weights[0].p)[16 + i]);
    const float bad[] = {5, -1, 0.5f, NAN, INFINITY, 1e30f};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        ids[1] = bad[i];
        CHECK_STATUS(ek_nn_run(p, 1, arrays, NULL), EK_EVALUE);
    }
    ek_nn_free(p);
    ek_unguard(&weights[0]);
}

typedef struct {
    const ek_nn *p;
    float *in, *want;
    size_t size;
    int wrong;
} visitor;

static void *visit(void *arg) {
    visitor *v = arg;
    float *out = malloc(SAMPLES * v->size * sizeof(float));
    float *arrays[3] = {NULL, v->in, out};
    for (int i = 0; i < 20; i++) {
        if (ek_nn_run(v->p, SAMPLES, arrays, NULL) != EK_OK) v->wrong++;
        if (memcmp(out, v->want, SAMPLES * v->size * sizeof(float)) != 0) v->wrong++;
    }
    free(out);
    return NULL;
}

static void eight_threads_share_a_program(void) {
    ek_threads_set(2);
    for (size_t k = 0; k < sizeof STEPS / sizeof *STEPS; k++) {
        const one_step *t = &STEPS[k];
        if (t->nbufs != 2 || t->out != 1) continue;
        ek_guard weights[3];
        ek_nn *p = build(t, 1, weights);
        const size_t in = SAMPLES * ek_nn_slot_size(p, 1), out = ek_nn_slot_size(p, 2);
        float *arrays[3] = {NULL, malloc(in * sizeof(float)),
                            malloc(SAMPLES * out * sizeof(float))};
        ek_noise(arrays[1], in, 3);
        CHECK_STATUS(ek_nn_run(p, SAMPLES, arrays, NULL), EK_OK);
        pthread_t crowd[THREADS];
        visitor visitors[THREADS];
        for (size_t i = 0; i < THREADS; i++) {
            visitors[i] = (visitor){p, arrays[1], arrays[2], out, 0};
            CHECK(pthread_create(&crowd[i], NULL, visit, &visitors[i]) == 0);
        }
        for (size_t i = 0; i < THREADS; i++) {
            pthread_join(crowd[i], NULL);
            CHECK(visitors[i].wrong == 0);
        }
        free(arrays[1]);
        free(arrays[2]);
        ek_nn_free(p);
        for (size_t i = 0; i < t->narrays; i++) ek_unguard(&weights[i]);
    }
}

TEST_MAIN({"ops, every instruction set", everywhere}, {"embedding", embedding},
          {"eight threads", eight_threads_share_a_program})
