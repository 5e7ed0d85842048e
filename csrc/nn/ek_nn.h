/* ek_nn.h: the forward engine. A program is a list of steps over planned buffers; it is built once
 * (weights packed into the kernels' layout), never changes afterwards, and runs batches from any
 * number of threads at once. ek_nn_new, ek_nn_add   build ek_nn_run              a batch, on the
 * calling thread's scope (ek_core.h) ek_nn_free Same bits for any batch size, thread count and
 * split: every output element is one fixed chain of operations. */
#ifndef EK_NN_H
#define EK_NN_H
#include "ek_core.h"

typedef struct ek_nn ek_nn;

enum {
    EK_NN_ARENA = 0,
    EK_NN_MAX_BUFS = 8
}; /* slot 0 is scratch; slots 1.. are the caller's arrays */

/* A tensor of one sample: `items` pictures of (c, h, w) each, channel-blocked (lanes = 16) or plain
 * (lanes = 1), with a border of zeros. `offset` counts floats per sample from the slot's beginning.
 */
typedef struct {
    size_t slot, offset, items, c, h, w, lanes;
    size_t top, bottom, left, right;
    /* filled in by ek_nn_new: blocks, padded width, floats of a row, block, item, sample, and of
     * the first element */
    size_t blocks, pitch, plane, item, size, origin;
} ek_nn_buf;

/* What a step is made of. The meaning of each list is written above the step's init function. */
typedef struct {
    const size_t *bufs;
    const int64_t *ints;
    const double *reals;
    const float *const *arrays;
    const size_t *lengths; /* of the arrays */
    size_t nbufs, nints, nreals, narrays;
} ek_nn_args;

/* A program for the instruction set in use. `slots` counts the caller's arrays plus one; block:
 * samples that run through the steps together. EK_ESHAPE if a size overflows. */
EK_CHECK ek_status ek_nn_new(const ek_nn_buf *bufs, size_t nbufs, size_t slots, size_t block,
                             ek_nn **out);
void ek_nn_free(ek_nn *p);

/* Append a step: "conv", "depthwise", "pool", ... EK_EVALUE: unknown name or arguments that do not
 * fit. */
EK_CHECK ek_status ek_nn_add(ek_nn *p, const char *op, const ek_nn_args *args);

/* n samples; arrays[s] for s >= 1 is the caller's array of slot s with n samples one after the
 * other. times, if not NULL, has a number per step and gets the seconds spent in it (one thread,
 * one block after the other). */
EK_CHECK ek_status ek_nn_run(const ek_nn *p, size_t n, float *const *arrays, double *times);

size_t ek_nn_steps(const ek_nn *p);
size_t ek_nn_slots(const ek_nn *p);
size_t ek_nn_slot_size(const ek_nn *p,
                       size_t slot);       /* floats of one sample in the caller's array */
size_t ek_nn_weight_bytes(const ek_nn *p); /* packed weights */
size_t ek_nn_arena_bytes(const ek_nn *p);  /* scratch of one block */
const char *ek_nn_isa_name(const ek_nn *p);
size_t ek_nn_width(void); /* floats in a vector of the instruction set in use */

/* GFLOP/s of multiply-adds that one thread reaches with everything in the first cache: the peak
 * profiles refer to. */
double ek_nn_peak(void);

#endif
