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

PyMethodDef ekpy_wavelet_methods[] = {
    EKPY_METHOD("cwt", py_cwt),
    EKPY_METHOD("scalogram", py_scalogram),
    EKPY_METHOD("stacked_scalogram", py_stacked_scalogram),
    {NULL, NULL, 0, NULL},
};
