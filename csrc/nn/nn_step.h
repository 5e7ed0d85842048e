/* nn_step.h: what an op of the engine is. To add one, copy op_softmax.c and list it in EK_NN_OPS.
 */
#ifndef EK_NN_STEP_H
#define EK_NN_STEP_H
#include "ek_nn.h"
#include "nn_kern.h"

typedef struct ek_nn_step ek_nn_step;

/* One block of samples on its way through the steps. */
typedef struct {
    const ek_nn *prog;
    const ek_nn_isa *isa;
    float *const *base; /* per slot: the block's first sample */
    size_t n;           /* samples in the block */
    size_t threads;     /* threads that share it */
} ek_nn_call;

typedef struct {
    const char *name;
    /* Check the arguments and pack the weights into step->data. Nothing is trusted: EK_EVALUE where
     * they do not fit. */
    ek_status (*init)(ek_nn_step *s, const ek_nn_args *a);
    size_t (*units)(const ek_nn_step *s, const ek_nn_call *c); /* independent pieces of work */
    ek_status (*run)(const ek_nn_step *s, const ek_nn_call *c, size_t begin, size_t end,
                     ek_arena *tmp);
} ek_nn_op;

struct ek_nn_step {
    const ek_nn_op *op;
    const ek_nn_isa *isa;
    const ek_nn_buf *buf[EK_NN_MAX_BUFS]; /* NULL: absent */
    size_t nbufs;
    void *data; /* the op's own, one aligned block; freed with the program */
    size_t data_bytes;
    const ek_nn_step *earlier; /* the program's steps before this one, during init alone: */
    size_t nearlier;           /* their data stays where it is and may be pointed to */
};

/* clang-format off */
/* Every op: op_<file>.c defines ek_nn_<name>. */
#define EK_NN_OPS(OP) \
    OP(act) \
    OP(affine) \
    OP(attention) \
    OP(binary) \
    OP(broadcast) \
    OP(concat) \
    OP(constant) \
    OP(conv) \
    OP(conv_any) \
    OP(depthwise) \
    OP(embedding) \
    OP(gate) \
    OP(merge) \
    OP(gather) \
    OP(group_norm) \
    OP(layer_norm) \
    OP(layout) \
    OP(linear) \
    OP(matmul) \
    OP(permute) \
    OP(place) \
    OP(pool) \
    OP(recurrent) \
    OP(reduce) \
    OP(softmax) \
    OP(unary) \
    OP(winograd)
/* clang-format on */
#define EK_NN_DECLARE(name) extern const ek_nn_op ek_nn_##name;
EK_NN_OPS(EK_NN_DECLARE)
#undef EK_NN_DECLARE

/* The block's memory of a buffer: its first sample's first element, border included. */
static inline float *ek_nn_at(const ek_nn_call *c, const ek_nn_buf *b) {
    const size_t samples = b->slot == EK_NN_ARENA ? b->offset : 0;
    return c->base[b->slot] + samples;
}

/* Elementwise work: flat when no tensor has a border, else plane by plane. */
typedef struct {
    size_t units, per_unit, rows, row; /* a unit is `rows` rows of `row` floats */
    int flat;
} ek_nn_sweep;
ek_nn_sweep ek_nn_sweep_of(const ek_nn_call *c, const ek_nn_buf *const *bufs, size_t count);
/* Row y of unit u; *n gets its length. */
static inline float *ek_nn_row(const ek_nn_call *c, const ek_nn_sweep *w, const ek_nn_buf *b,
                               size_t u, size_t y, size_t *n) {
    if (w->flat) {
        const size_t first = u * w->per_unit, left = c->n * b->size - first;
        *n = left < w->per_unit ? left : w->per_unit;
        return ek_nn_at(c, b) + first;
    }
    *n = w->row;
    return ek_nn_at(c, b) + u * b->plane + b->origin + y * b->pitch;
}

/* Zero the border of items begin..end. */
void ek_nn_zero_border(const ek_nn_buf *b, float *base, size_t begin, size_t end);
static inline int ek_nn_has_border(const ek_nn_buf *b) {
    return b->top + b->bottom + b->left + b->right > 0;
}

static inline size_t ek_nn_ceil(size_t a, size_t b) {
    return (a + b - 1) / b;
}

#endif
