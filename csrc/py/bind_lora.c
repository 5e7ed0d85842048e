/* Merging of low-rank adapters. float32, float16 and uint16 (the bits of bfloat16) arrays say by
 * their dtype what they hold. */
#include "ekpy.h"
#include "ek_lora.h"

enum { STATS = 6 };

static int type_of(PyArrayObject *x, ek_lora_type *type) {
    switch (PyArray_TYPE(x)) {
    case NPY_FLOAT: *type = EK_LORA_F32; return 0;
    case NPY_HALF: *type = EK_LORA_F16; return 0;
    case NPY_USHORT: *type = EK_LORA_BF16; return 0;
    default: return -1;
    }
}

/* A 2-D array of one of the three types as it is: nothing is converted. Borrowed. */
static PyArrayObject *matrix(const ekpy_sig *sig, PyObject *o, const char *arg, int write,
                             ek_lora_type *type) {
    PyArrayObject *x = PyArray_Check(o) ? (PyArrayObject *)o : NULL;
    if (x == NULL || type_of(x, type) < 0 || PyArray_NDIM(x) != 2 ||
        !(write ? PyArray_ISCARRAY(x) : PyArray_ISCARRAY_RO(x))) {
        PyErr_Format(PyExc_TypeError,
                     "%s: %s must be a %sC-contiguous 2-D array of float32, float16 or uint16 "
                     "(bfloat16)",
                     sig->name, arg, write ? "writeable " : "");
        return NULL;
    }
    return x;
}

static PyArrayObject *vector(const ekpy_sig *sig, PyObject *o, npy_intp n, const char *arg) {
    PyArrayObject *x = ekpy_in(sig, o, NPY_FLOAT, 1, 1, arg);
    if (x != NULL && PyArray_DIM(x, 0) != n) {
        PyErr_Format(PyExc_ValueError, "%s: %s must have %zd elements, got %zd", sig->name, arg,
                     (Py_ssize_t)n, (Py_ssize_t)PyArray_DIM(x, 0));
        Py_CLEAR(x);
    }
    return x;
}

/* pairs is a tuple of (a, b, scale); arrays get new references in held. */
static int parse_pairs(const ekpy_sig *sig, PyObject *list, npy_intp m, npy_intp n,
                       ek_lora_pair *pair, PyArrayObject **held) {
    for (Py_ssize_t i = 0; i < PyTuple_Size(list); i++) {
        PyObject *t = PyTuple_GetItem(list, i);
        double scale = 0.0;
        if (!PyTuple_Check(t) || PyTuple_Size(t) != 3) {
            PyErr_Format(PyExc_TypeError, "%s: a pair is (a, b, scale)", sig->name);
            return -1;
        }
        PyArrayObject *a = ekpy_in(sig, PyTuple_GetItem(t, 0), NPY_FLOAT, 2, 2, "a");
        if ((held[2 * i] = a) == NULL) return -1;
        PyArrayObject *b = ekpy_in(sig, PyTuple_GetItem(t, 1), NPY_FLOAT, 2, 2, "b");
        if ((held[2 * i + 1] = b) == NULL) return -1;
        if (ekpy_double(sig, PyTuple_GetItem(t, 2), "scale", &scale) < 0) return -1;
        if (PyArray_DIM(a, 1) != n || PyArray_DIM(b, 0) != m ||
            PyArray_DIM(a, 0) != PyArray_DIM(b, 1)) {
            PyErr_Format(PyExc_ValueError,
                         "%s: w (%zd, %zd) needs a (r, %zd) and b (%zd, r), got a (%zd, %zd) and "
                         "b (%zd, %zd)",
                         sig->name, (Py_ssize_t)m, (Py_ssize_t)n, (Py_ssize_t)n, (Py_ssize_t)m,
                         (Py_ssize_t)PyArray_DIM(a, 0), (Py_ssize_t)PyArray_DIM(a, 1),
                         (Py_ssize_t)PyArray_DIM(b, 0), (Py_ssize_t)PyArray_DIM(b, 1));
            return -1;
        }
        pair[i] = (ek_lora_pair){PyArray_DATA(a), PyArray_DATA(b), (size_t)PyArray_DIM(a, 0),
                                 (float)scale};
    }
    return 0;
}

static PyObject *py_lora_merge(PyObject *mod, PyObject *const *args, Py_ssize_t nargs,
                               PyObject *kw) {
    static const ekpy_sig sig = {
        "lora_merge",
        {"w", "pairs", "out", "row_gain", "col_gain", "round_delta", "clamp", "stats", "threads",
          NULL},
        3
    };
    enum { MOST = 64 };
    PyObject *arg[EKPY_MAX_ARGS], *result = NULL;
    PyArrayObject *held[2 * MOST] = {NULL}, *row = NULL, *col = NULL, *stats = NULL;
    ek_lora_pair pair[MOST];
    ek_lora_stats tally;
    ek_lora_job job = {.pair = pair};
    size_t threads = 0;
    ek_status st;
    (void)mod;
    if (ekpy_bind(&sig, args, nargs, kw, arg) < 0) return NULL;
    PyArrayObject *w = matrix(&sig, arg[0], "w", 0, &job.w_type);
    PyArrayObject *out = w ? matrix(&sig, arg[2], "out", 1, &job.out_type) : NULL;
    if (out == NULL) return NULL;
    const npy_intp m = PyArray_DIM(w, 0), n = PyArray_DIM(w, 1);
    if (!PyTuple_Check(arg[1]) || PyTuple_Size(arg[1]) > MOST) {
        PyErr_Format(PyExc_TypeError, "%s: pairs must be a tuple of at most %d", sig.name, MOST);
        return NULL;
    }
    if (PyArray_DIM(out, 0) != m || PyArray_DIM(out, 1) != n) {
        PyErr_Format(PyExc_ValueError, "%s: out must have the shape of w", sig.name);
        return NULL;
    }
    if (PyArray_DATA(out) != PyArray_DATA(w) && ekpy_no_overlap(&sig, out, w, "w") < 0) return NULL;
    if (PyArray_DATA(out) == PyArray_DATA(w) && job.w_type != job.out_type) {
        PyErr_Format(PyExc_ValueError, "%s: out is w, so it must have its dtype", sig.name);
        return NULL;
    }
    if (ekpy_bool(&sig, arg[5], "round_delta", &job.round_delta) < 0 ||
        ekpy_bool(&sig, arg[6], "clamp", &job.clamp) < 0 ||
        ekpy_size(&sig, arg[8], "threads", 0, &threads) < 0)
        return NULL;
    if (parse_pairs(&sig, arg[1], m, n, pair, held) < 0) goto done;
    for (Py_ssize_t i = 0; i < 2 * PyTuple_Size(arg[1]); i++)
        if (ekpy_no_overlap(&sig, out, held[i], i % 2 ? "b" : "a") < 0) goto done;
    if (arg[3] != NULL && (row = vector(&sig, arg[3], m, "row_gain")) == NULL) goto done;
    if (arg[4] != NULL && (col = vector(&sig, arg[4], n, "col_gain")) == NULL) goto done;
    if (arg[7] != NULL) {
        const npy_intp shape[1] = {STATS};
        if ((stats = ekpy_out(&sig, arg[7], NPY_DOUBLE, 1, shape, "stats")) == NULL) goto done;
        job.stats = &tally;
    }
    job.w = PyArray_DATA(w);
    job.out = PyArray_DATA(out);
    job.m = (size_t)m;
    job.n = (size_t)n;
    job.pairs = (size_t)PyTuple_Size(arg[1]);
    job.row_gain = row ? PyArray_DATA(row) : NULL;
    job.col_gain = col ? PyArray_DATA(col) : NULL;
    EKPY_RUN(st, threads, ek_lora_merge(&job));
    if (st != EK_OK) {
        ekpy_raise(st, &sig);
        goto done;
    }
    if (stats != NULL) {
        double *to = PyArray_DATA(stats);
        to[0] = tally.delta2;
        to[1] = tally.weight2;
        to[2] = tally.error2;
        to[3] = (double)tally.unchanged;
        to[4] = (double)tally.broken;
        to[5] = (double)tally.clamped;
    }
    Py_INCREF((PyObject *)out);
    result = (PyObject *)out;
done:
    for (size_t i = 0; i < sizeof held / sizeof *held; i++) Py_XDECREF((PyObject *)held[i]);
    Py_XDECREF((PyObject *)row);
    Py_XDECREF((PyObject *)col);
    Py_XDECREF((PyObject *)stats);
    return result;
}

static PyObject *py_lora_merge_f64(PyObject *mod, PyObject *const *args, Py_ssize_t nargs,
                                   PyObject *kw) {
    static const ekpy_sig sig = {
        "lora_merge_f64", {"w", "a", "b", "scale", "out", "threads", NULL},
         4
    };
    PyObject *arg[EKPY_MAX_ARGS];
    PyArrayObject *w = NULL, *a = NULL, *b = NULL, *out = NULL;
    double scale = 0.0;
    size_t threads = 0;
    ek_status st;
    (void)mod;
    if (ekpy_bind(&sig, args, nargs, kw, arg) < 0) return NULL;
    if (ekpy_double(&sig, arg[3], "scale", &scale) < 0) return NULL;
    if (ekpy_size(&sig, arg[5], "threads", 0, &threads) < 0) return NULL;
    if ((w = ekpy_in(&sig, arg[0], NPY_DOUBLE, 2, 2, "w")) == NULL) goto done;
    if ((a = ekpy_in(&sig, arg[1], NPY_DOUBLE, 2, 2, "a")) == NULL) goto done;
    if ((b = ekpy_in(&sig, arg[2], NPY_DOUBLE, 2, 2, "b")) == NULL) goto done;
    if (ekpy_same_dim(&sig, w, 1, a, 1, "w and a") < 0) goto done;
    if (ekpy_same_dim(&sig, w, 0, b, 0, "w and b") < 0) goto done;
    if (PyArray_DIM(a, 0) != PyArray_DIM(b, 1)) {
        PyErr_Format(PyExc_ValueError, "%s: a has rank %zd, b has rank %zd", sig.name,
                     (Py_ssize_t)PyArray_DIM(a, 0), (Py_ssize_t)PyArray_DIM(b, 1));
        goto done;
    }
    if ((out = ekpy_out(&sig, arg[4], NPY_DOUBLE, 2, PyArray_DIMS(w), "out")) == NULL) goto done;
    if (ekpy_no_overlap(&sig, out, a, "a") < 0 || ekpy_no_overlap(&sig, out, b, "b") < 0) {
        Py_CLEAR(out);
        goto done;
    }
    EKPY_RUN(st, threads,
             ek_lora_merge_f64(PyArray_DATA(w), PyArray_DATA(a), PyArray_DATA(b),
                               ekpy_dims(w, 0, 1), ekpy_dims(w, 1, 2), ekpy_dims(a, 0, 1), scale,
                               PyArray_DATA(out)));
    if (st != EK_OK) {
        Py_CLEAR(out);
        ekpy_raise(st, &sig);
    }
done:
    Py_XDECREF((PyObject *)w);
    Py_XDECREF((PyObject *)a);
    Py_XDECREF((PyObject *)b);
    return (PyObject *)out;
}

static PyObject *py_lora_widen(PyObject *mod, PyObject *const *args, Py_ssize_t nargs,
                               PyObject *kw) {
    static const ekpy_sig sig = {
        "lora_widen", {"x", NULL},
         1
    };
    PyObject *arg[EKPY_MAX_ARGS];
    PyArrayObject *x = NULL, *out = NULL;
    (void)mod;
    if (ekpy_bind(&sig, args, nargs, kw, arg) < 0) return NULL;
    if ((x = ekpy_in(&sig, arg[0], NPY_USHORT, 0, NPY_MAXDIMS, "x")) == NULL) return NULL;
    out = ekpy_out(&sig, NULL, NPY_FLOAT, PyArray_NDIM(x), PyArray_DIMS(x), "out");
    if (out != NULL) {
        Py_BEGIN_ALLOW_THREADS ek_lora_widen(PyArray_DATA(x), EK_LORA_BF16,
                                             ekpy_dims(x, 0, PyArray_NDIM(x)), PyArray_DATA(out));
        Py_END_ALLOW_THREADS
    }
    Py_DECREF((PyObject *)x);
    return (PyObject *)out;
}

static PyObject *py_lora_narrow(PyObject *mod, PyObject *const *args, Py_ssize_t nargs,
                                PyObject *kw) {
    static const ekpy_sig sig = {
        "lora_narrow", {"x", NULL},
         1
    };
    PyObject *arg[EKPY_MAX_ARGS];
    PyArrayObject *x = NULL, *out = NULL;
    (void)mod;
    if (ekpy_bind(&sig, args, nargs, kw, arg) < 0) return NULL;
    if ((x = ekpy_in(&sig, arg[0], NPY_FLOAT, 0, NPY_MAXDIMS, "x")) == NULL) return NULL;
    out = ekpy_out(&sig, NULL, NPY_USHORT, PyArray_NDIM(x), PyArray_DIMS(x), "out");
    if (out != NULL) {
        Py_BEGIN_ALLOW_THREADS ek_lora_narrow(PyArray_DATA(x), EK_LORA_BF16,
                                              ekpy_dims(x, 0, PyArray_NDIM(x)), PyArray_DATA(out));
        Py_END_ALLOW_THREADS
    }
    Py_DECREF((PyObject *)x);
    return (PyObject *)out;
}

PyMethodDef ekpy_lora_methods[] = {
    EKPY_METHOD("lora_merge", py_lora_merge),
    EKPY_METHOD("lora_merge_f64", py_lora_merge_f64),
    EKPY_METHOD("lora_widen", py_lora_widen),
    EKPY_METHOD("lora_narrow", py_lora_narrow),
    {NULL, NULL, 0, NULL},
};
