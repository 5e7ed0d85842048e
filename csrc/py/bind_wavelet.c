#include "ekpy.h"
#include "ek_wavelet.h"

static const char *const PADS[] = {"reflect", "zero", "periodic", NULL};

/* freqs, fs, w0, pad -> spec. *keep holds the array that spec->freqs points into. */
static int spec_of(const ekpy_sig *sig, PyObject *fs, PyObject *freqs, PyObject *w0, PyObject *pad,
                   ek_wavelet_spec *spec, PyArrayObject **keep) {
    int p = EK_PAD_REFLECT;
    spec->w0 = 6.0;
    if (ekpy_double(sig, fs, "fs", &spec->fs) < 0 || ekpy_double(sig, w0, "w0", &spec->w0) < 0 ||
        ekpy_choice(sig, pad, "pad", PADS, &p) < 0)
        return -1;
    spec->pad = (ek_pad)p;
    if ((*keep = ekpy_in(sig, freqs, NPY_DOUBLE, 1, 1, "freqs")) == NULL) return -1;
    spec->freqs = PyArray_DATA(*keep);
    spec->rows = ekpy_dims(*keep, 0, 1);
    return 0;
}

static int has_samples(const ekpy_sig *sig, size_t t) {
    return t > 0 ? 0
                 : ekpy_error("LayoutError", "%s: x has no samples (last dimension 0)", sig->name);
}

static PyObject *py_cwt(PyObject *mod, PyObject *const *args, Py_ssize_t nargs, PyObject *kw) {
    static const ekpy_sig sig = {
        "cwt", {"x", "fs", "freqs", "w0", "pad", "out", "threads", NULL},
         3
    };
    PyObject *a[EKPY_MAX_ARGS];
    PyArrayObject *x = NULL, *freqs = NULL, *out = NULL;
    ek_wavelet_spec spec;
    npy_intp shape[NPY_MAXDIMS + 1];
    size_t threads = 0;
    ek_status st;
    (void)mod;
    if (ekpy_bind(&sig, args, nargs, kw, a) < 0 ||
        ekpy_size(&sig, a[6], "threads", 0, &threads) < 0)
        return NULL;
    const int type = ekpy_float_type(&sig, a[0], "x");
    if (type < 0) return NULL;
    if ((x = ekpy_in(&sig, a[0], type, 1, NPY_MAXDIMS - 1, "x")) == NULL) goto done;
    if (spec_of(&sig, a[1], a[2], a[3], a[4], &spec, &freqs) < 0) goto done;
    const int nd = PyArray_NDIM(x);
    const size_t n = ekpy_dims(x, 0, nd - 1), t = ekpy_dims(x, nd - 1, nd);
    if (has_samples(&sig, t) < 0) goto done;
    for (int d = 0; d < nd - 1; d++) shape[d] = PyArray_DIM(x, d);
    shape[nd - 1] = (npy_intp)spec.rows;
    shape[nd] = (npy_intp)t;
    if ((out = ekpy_out(&sig, a[5], type == NPY_FLOAT ? NPY_CFLOAT : NPY_CDOUBLE, nd + 1, shape,
                        "out")) == NULL)
        goto done;
    if (ekpy_no_overlap(&sig, out, x, "x") < 0) {
        Py_CLEAR(out);
        goto done;
    }
    if (type == NPY_FLOAT)
        EKPY_RUN(st, threads, ek_wavelet_cwt_f32(PyArray_DATA(x), n, t, &spec, PyArray_DATA(out)));
    else
        EKPY_RUN(st, threads, ek_wavelet_cwt_f64(PyArray_DATA(x), n, t, &spec, PyArray_DATA(out)));
    if (st != EK_OK) {
        Py_CLEAR(out);
        ekpy_raise(st, &sig);
    }
done:
    Py_XDECREF((PyObject *)x);
    Py_XDECREF((PyObject *)freqs);
    return (PyObject *)out;
}

static PyObject *py_scalogram(PyObject *mod, PyObject *const *args, Py_ssize_t nargs,
                              PyObject *kw) {
    static const ekpy_sig sig = {
        "scalogram",
        {"x", "fs", "freqs", "width", "w0", "pad", "power", "out", "threads", NULL},
        3
    };
    PyObject *a[EKPY_MAX_ARGS];
    PyArrayObject *x = NULL, *freqs = NULL, *out = NULL;
    ek_wavelet_spec spec;
    npy_intp shape[NPY_MAXDIMS + 1];
    size_t threads = 0, width = 0;
    int power = 0;
    ek_status st;
    (void)mod;
    if (ekpy_bind(&sig, args, nargs, kw, a) < 0 || ekpy_size(&sig, a[3], "width", 1, &width) < 0 ||
        ekpy_bool(&sig, a[6], "power", &power) < 0 ||
        ekpy_size(&sig, a[8], "threads", 0, &threads) < 0)
        return NULL;
    const int type = ekpy_float_type(&sig, a[0], "x");
    if (type < 0) return NULL;
    if ((x = ekpy_in(&sig, a[0], type, 1, NPY_MAXDIMS - 1, "x")) == NULL) goto done;
    if (spec_of(&sig, a[1], a[2], a[4], a[5], &spec, &freqs) < 0) goto done;
    const int nd = PyArray_NDIM(x);
    const size_t n = ekpy_dims(x, 0, nd - 1), t = ekpy_dims(x, nd - 1, nd);
    if (has_samples(&sig, t) < 0) goto done;
    if (width == 0) width = t;
    for (int d = 0; d < nd - 1; d++) shape[d] = PyArray_DIM(x, d);
    shape[nd - 1] = (npy_intp)spec.rows;
    shape[nd] = (npy_intp)width;
    if ((out = ekpy_out(&sig, a[7], type, nd + 1, shape, "out")) == NULL) goto done;
    if (ekpy_no_overlap(&sig, out, x, "x") < 0) {
        Py_CLEAR(out);
        goto done;
    }
    if (type == NPY_FLOAT)
        EKPY_RUN(st, threads,
                 ek_wavelet_scalogram_f32(PyArray_DATA(x), n, t, &spec, width, power,
                                          PyArray_DATA(out)));
    else
        EKPY_RUN(st, threads,
                 ek_wavelet_scalogram_f64(PyArray_DATA(x), n, t, &spec, width, power,
                                          PyArray_DATA(out)));
    if (st != EK_OK) {
        Py_CLEAR(out);
        ekpy_raise(st, &sig);
    }
done:
    Py_XDECREF((PyObject *)x);
    Py_XDECREF((PyObject *)freqs);
    return (PyObject *)out;
}

static PyObject *py_stacked_scalogram(PyObject *mod, PyObject *const *args, Py_ssize_t nargs,
                                      PyObject *kw) {
    static const ekpy_sig sig = {
        "stacked_scalogram",
        {"x", "fs", "freqs", "window", "width", "w0", "pad", "power", "cwt_first", "scale",
          "image_h", "image_w", "colormap", "out", "threads", NULL},
        5
    };
    static const char *const scales[] = {"none", "minmax", "lead", NULL}, *const maps[] = {"jet",
                                                                                           NULL};
    PyObject *a[EKPY_MAX_ARGS];
    PyArrayObject *x = NULL, *freqs = NULL, *out = NULL;
    ek_wavelet_spec spec;
    ek_stack_spec stack = {0};
    size_t threads = 0;
    int scale = EK_STACK_MINMAX, map = -1;
    npy_intp shape[5];
    ek_status st;
    (void)mod;
    if (ekpy_bind(&sig, args, nargs, kw, a) < 0 ||
        ekpy_size(&sig, a[3], "window", 1, &stack.window) < 0 ||
        ekpy_size(&sig, a[4], "width", 1, &stack.width) < 0 ||
        ekpy_bool(&sig, a[7], "power", &stack.power) < 0 ||
        ekpy_bool(&sig, a[8], "cwt_first", &stack.cwt_first) < 0 ||
        ekpy_choice(&sig, a[9], "scale", scales, &scale) < 0 ||
        ekpy_size(&sig, a[10], "image height", 1, &stack.image_h) < 0 ||
        ekpy_size(&sig, a[11], "image width", 1, &stack.image_w) < 0 ||
        ekpy_choice(&sig, a[12], "colormap", maps, &map) < 0 ||
        ekpy_size(&sig, a[14], "threads", 0, &threads) < 0)
        return NULL;
    stack.scale = (ek_stack_scale)scale;
    stack.jet = map == 0;
    if ((x = ekpy_in(&sig, a[0], NPY_FLOAT, 2, 3, "x")) == NULL) goto done;
    if (spec_of(&sig, a[1], a[2], a[5], a[6], &spec, &freqs) < 0) goto done;
    const int nd = PyArray_NDIM(x), batch = nd - 2;
    const size_t n = ekpy_dims(x, 0, batch), leads = ekpy_dims(x, batch, batch + 1),
                 t = ekpy_dims(x, nd - 1, nd);
    if (stack.window > t) {
        ekpy_error("LayoutError",
                   "stacked_scalogram: the window has %zu samples but x only %zu per lead",
                   stack.window, t);
        goto done;
    }
    if (batch) shape[0] = (npy_intp)n;
    shape[batch] = (npy_intp)(t / stack.window);
    if (stack.image_h) {
        shape[batch + 1] = 3;
        shape[batch + 2] = (npy_intp)stack.image_h;
        shape[batch + 3] = (npy_intp)stack.image_w;
    } else {
        shape[batch + 1] = (npy_intp)(leads * spec.rows);
        shape[batch + 2] = (npy_intp)stack.width;
    }
    if ((out = ekpy_out(&sig, a[13], NPY_FLOAT, batch + (stack.image_h ? 4 : 3), shape, "out")) ==
        NULL)
        goto done;
    if (ekpy_no_overlap(&sig, out, x, "x") < 0) {
        Py_CLEAR(out);
        goto done;
    }
    EKPY_RUN(st, threads,
             ek_wavelet_stacked_f32(PyArray_DATA(x), n, leads, t, &spec, &stack,
                                    PyArray_DATA(out)));
    if (st != EK_OK) {
        Py_CLEAR(out);
        ekpy_raise(st, &sig);
    }
done:
    Py_XDECREF((PyObject *)x);
    Py_XDECREF((PyObject *)freqs);
    return (PyObject *)out;
}

/* The geometry of a block, and the refusal of wavelets that blocks cannot hold. */
static int block_of(const ekpy_sig *sig, const ek_wavelet_spec *spec, int single, size_t *step,
                    size_t *length, size_t *left) {
    if (ek_wavelet_block(spec, single, step, length, left) == EK_OK) return 0;
    PyErr_Format(PyExc_ValueError,
                 "%s: blocks need w0 of at least 5 and frequencies whose wavelets are shorter than "
                 "memory",
                 sig->name);
    return -1;
}

static PyObject *py_wavelet_block(PyObject *mod, PyObject *const *args, Py_ssize_t nargs,
                                  PyObject *kw) {
    static const ekpy_sig sig = {
        "wavelet_block", {"fs", "freqs", "w0", "single", NULL},
         4
    };
    PyObject *a[EKPY_MAX_ARGS];
    PyArrayObject *freqs = NULL;
    ek_wavelet_spec spec;
    size_t step, length, left;
    int single = 1;
    PyObject *result = NULL;
    (void)mod;
    if (ekpy_bind(&sig, args, nargs, kw, a) < 0 || ekpy_bool(&sig, a[3], "single", &single) < 0)
        return NULL;
    if (spec_of(&sig, a[0], a[1], a[2], NULL, &spec, &freqs) < 0) goto done;
    if (block_of(&sig, &spec, single, &step, &length, &left) < 0) goto done;
    result = Py_BuildValue("nnn", (Py_ssize_t)step, (Py_ssize_t)length, (Py_ssize_t)left);
done:
    Py_XDECREF((PyObject *)freqs);
    return result;
}

/* x with its surroundings -> out. columns: total, width, begin, first, last; None: every output. */
static PyObject *py_wavelet_part(PyObject *mod, PyObject *const *args, Py_ssize_t nargs,
                                 PyObject *kw) {
    static const ekpy_sig sig = {
        "wavelet_part",
        {"x", "t", "fs", "freqs", "w0", "what", "columns", "out", "threads", NULL},
        6
    };
    static const char *const whats[] = {"complex", "magnitude", "power", NULL};
    PyObject *a[EKPY_MAX_ARGS];
    PyArrayObject *x = NULL, *freqs = NULL, *out = NULL;
    ek_wavelet_spec spec;
    ek_part_columns part = {0};
    size_t t = 0, threads = 0, step, length, left;
    int what = 0;
    npy_intp shape[NPY_MAXDIMS + 1];
    ek_status st;
    (void)mod;
    if (ekpy_bind(&sig, args, nargs, kw, a) < 0 || ekpy_size(&sig, a[1], "t", 1, &t) < 0 ||
        ekpy_choice(&sig, a[5], "what", whats, &what) < 0 ||
        ekpy_size(&sig, a[8], "threads", 0, &threads) < 0)
        return NULL;
    if (a[6] != NULL) {
        size_t *field[] = {&part.total, &part.width, &part.begin, &part.first, &part.last};
        for (int i = 0; i < 5; i++) {
            PyObject *item = PySequence_GetItem(a[6], i);
            const int bad = item == NULL || ekpy_size(&sig, item, "columns", 0, field[i]) < 0;
            Py_XDECREF(item);
            if (bad) return NULL;
        }
    }
    const int type = ekpy_float_type(&sig, a[0], "x");
    if (type < 0) return NULL;
    if ((x = ekpy_in(&sig, a[0], type, 1, NPY_MAXDIMS - 1, "x")) == NULL) goto done;
    if (spec_of(&sig, a[2], a[3], a[4], NULL, &spec, &freqs) < 0) goto done;
    if (block_of(&sig, &spec, type == NPY_FLOAT, &step, &length, &left) < 0) goto done;
    const int nd = PyArray_NDIM(x);
    const size_t n = ekpy_dims(x, 0, nd - 1), have = ekpy_dims(x, nd - 1, nd);
    if (t > have || have != (t + step - 1) / step * step + length - step) {
        PyErr_Format(PyExc_ValueError, "wavelet_part: %zu outputs do not go with %zu samples", t,
                     have);
        goto done;
    }
    for (int d = 0; d < nd - 1; d++) shape[d] = PyArray_DIM(x, d);
    shape[nd - 1] = (npy_intp)spec.rows;
    shape[nd] = (npy_intp)(part.width ? part.last - part.first : t);
    const int complex_type = type == NPY_FLOAT ? NPY_CFLOAT : NPY_CDOUBLE;
    if ((out = ekpy_out(&sig, a[7], what == 0 ? complex_type : type, nd + 1, shape, "out")) == NULL)
        goto done;
    void *from = PyArray_DATA(x), *to = PyArray_DATA(out);
    part.power = what == 2;
    if (what == 0 && type == NPY_FLOAT)
        EKPY_RUN(st, threads, ek_wavelet_cwt_part_f32(from, n, t, &spec, to));
    else if (what == 0)
        EKPY_RUN(st, threads, ek_wavelet_cwt_part_f64(from, n, t, &spec, to));
    else if (type == NPY_FLOAT)
        EKPY_RUN(st, threads, ek_wavelet_scalogram_part_f32(from, n, t, &spec, &part, to));
    else
        EKPY_RUN(st, threads, ek_wavelet_scalogram_part_f64(from, n, t, &spec, &part, to));
    if (st != EK_OK) {
        Py_CLEAR(out);
        ekpy_raise(st, &sig);
    }
done:
    Py_XDECREF((PyObject *)x);
    Py_XDECREF((PyObject *)freqs);
    return (PyObject *)out;
}

PyMethodDef ekpy_wavelet_methods[] = {
    EKPY_METHOD("cwt", py_cwt),
    EKPY_METHOD("scalogram", py_scalogram),
    EKPY_METHOD("stacked_scalogram", py_stacked_scalogram),
    EKPY_METHOD("wavelet_block", py_wavelet_block),
    EKPY_METHOD("wavelet_part", py_wavelet_part),
    {NULL, NULL, 0, NULL},
};
