/* Templates and heart-rate variability. */
#include "ekpy.h"
#include "ek_dsp.h"

static PyObject *py_median_beat(PyObject *mod, PyObject *const *args, Py_ssize_t nargs,
                                PyObject *kw) {
    static const ekpy_sig sig = {
        "median_beat", {"x", "beats", "before", "length", "threads", NULL},
         4
    };
    PyObject *a[EKPY_MAX_ARGS];
    PyArrayObject *x = NULL, *beats = NULL, *out = NULL;
    size_t threads = 0, before = 0, length = 0;
    ek_status st;
    (void)mod;
    if (ekpy_bind(&sig, args, nargs, kw, a) < 0) return NULL;
    if (ekpy_size(&sig, a[2], "before", 0, &before) < 0) return NULL;
    if (ekpy_size(&sig, a[3], "length", 1, &length) < 0) return NULL;
    if (ekpy_size(&sig, a[4], "threads", 0, &threads) < 0) return NULL;
    if ((x = ekpy_in(&sig, a[0], NPY_FLOAT, 2, 2, "x")) == NULL) goto done;
    if ((beats = ekpy_samples(&sig, a[1], 1, "beats")) == NULL) goto done;
    const npy_intp shape[2] = {PyArray_DIM(x, 0), (npy_intp)length};
    if ((out = ekpy_out(&sig, NULL, NPY_FLOAT, 2, shape, "out")) == NULL) goto done;
    EKPY_RUN(st, threads,
             ek_dsp_median_beat_f32(PyArray_DATA(x), ekpy_dims(x, 0, 1), ekpy_dims(x, 1, 2),
                                    PyArray_DATA(beats), ekpy_dims(beats, 0, 1), before, length,
                                    PyArray_DATA(out)));
    if (st != EK_OK) {
        Py_CLEAR(out);
        ekpy_raise(st, &sig);
    }
done:
    Py_XDECREF((PyObject *)beats);
    Py_XDECREF((PyObject *)x);
    return (PyObject *)out;
}

/* (aligned beats, similarity) */
static PyObject *py_align_beats(PyObject *mod, PyObject *const *args, Py_ssize_t nargs,
                                PyObject *kw) {
    static const ekpy_sig sig = {
        "align_beats", {"x", "beats", "template", "before", "reach", "threads", NULL},
         5
    };
    PyObject *a[EKPY_MAX_ARGS], *pair = NULL;
    PyArrayObject *x = NULL, *beats = NULL, *mid = NULL, *moved = NULL, *out = NULL;
    size_t threads = 0, before = 0, reach = 0;
    ek_status st;
    (void)mod;
    if (ekpy_bind(&sig, args, nargs, kw, a) < 0) return NULL;
    if (ekpy_size(&sig, a[3], "before", 0, &before) < 0) return NULL;
    if (ekpy_size(&sig, a[4], "reach", 0, &reach) < 0) return NULL;
    if (ekpy_size(&sig, a[5], "threads", 0, &threads) < 0) return NULL;
    if ((x = ekpy_in(&sig, a[0], NPY_FLOAT, 2, 2, "x")) == NULL) goto done;
    if ((beats = ekpy_samples(&sig, a[1], 1, "beats")) == NULL) goto done;
    if ((mid = ekpy_in(&sig, a[2], NPY_FLOAT, 2, 2, "template")) == NULL) goto done;
    if (ekpy_same_dim(&sig, x, 0, mid, 0, "x and template") < 0) goto done;
    const npy_intp count = PyArray_DIM(beats, 0);
    moved = (PyArrayObject *)PyArray_NewCopy(beats, NPY_CORDER);
    out = (PyArrayObject *)PyArray_SimpleNew(1, &count, NPY_DOUBLE);
    if (moved == NULL || out == NULL) goto done;
    EKPY_RUN(st, threads,
             ek_dsp_align_beats_f32(PyArray_DATA(x), ekpy_dims(x, 0, 1), ekpy_dims(x, 1, 2),
                                    PyArray_DATA(mid), before, ekpy_dims(mid, 1, 2), reach,
                                    PyArray_DATA(moved), (size_t)count, PyArray_DATA(out)));
    if (st != EK_OK)
        ekpy_raise(st, &sig);
    else
        pair = PyTuple_Pack(2, (PyObject *)moved, (PyObject *)out);
done:
    Py_XDECREF((PyObject *)out);
    Py_XDECREF((PyObject *)moved);
    Py_XDECREF((PyObject *)mid);
    Py_XDECREF((PyObject *)beats);
    Py_XDECREF((PyObject *)x);
    return pair;
}

static PyObject *py_template_matches(PyObject *mod, PyObject *const *args, Py_ssize_t nargs,
                                     PyObject *kw) {
    static const ekpy_sig sig = {
        "template_matches", {"x", "m", "r", "threads", NULL},
         3
    };
    PyObject *a[EKPY_MAX_ARGS];
    PyArrayObject *x = NULL, *out = NULL;
    size_t threads = 0, m = 0;
    double r = 0.0;
    ek_status st;
    (void)mod;
    if (ekpy_bind(&sig, args, nargs, kw, a) < 0) return NULL;
    if (ekpy_size(&sig, a[1], "m", 1, &m) < 0) return NULL;
    if (ekpy_double(&sig, a[2], "r", &r) < 0) return NULL;
    if (ekpy_size(&sig, a[3], "threads", 0, &threads) < 0) return NULL;
    if ((x = ekpy_in(&sig, a[0], NPY_DOUBLE, 1, 1, "x")) == NULL) goto done;
    const npy_intp shape[2] = {3, PyArray_DIM(x, 0)};
    if ((out = (PyArrayObject *)PyArray_SimpleNew(2, shape, NPY_INT64)) == NULL) goto done;
    EKPY_RUN(st, threads,
             ek_dsp_template_matches_f64(PyArray_DATA(x), ekpy_dims(x, 0, 1), m, r,
                                         PyArray_DATA(out)));
    if (st != EK_OK) {
        Py_CLEAR(out);
        ekpy_raise(st, &sig);
    }
done:
    Py_XDECREF((PyObject *)x);
    return (PyObject *)out;
}

static PyObject *py_dfa(PyObject *mod, PyObject *const *args, Py_ssize_t nargs, PyObject *kw) {
    static const ekpy_sig sig = {
        "dfa", {"x", "windows", "threads", NULL},
         2
    };
    PyObject *a[EKPY_MAX_ARGS];
    PyArrayObject *x = NULL, *windows = NULL, *out = NULL;
    size_t threads = 0;
    ek_status st;
    (void)mod;
    if (ekpy_bind(&sig, args, nargs, kw, a) < 0) return NULL;
    if (ekpy_size(&sig, a[2], "threads", 0, &threads) < 0) return NULL;
    if ((x = ekpy_in(&sig, a[0], NPY_DOUBLE, 1, 1, "x")) == NULL) goto done;
    if ((windows = ekpy_samples(&sig, a[1], 1, "windows")) == NULL) goto done;
    if ((out = ekpy_out(&sig, NULL, NPY_DOUBLE, 1, PyArray_DIMS(windows), "out")) == NULL)
        goto done;
    EKPY_RUN(st, threads,
             ek_dsp_dfa_f64(PyArray_DATA(x), ekpy_dims(x, 0, 1), PyArray_DATA(windows),
                            ekpy_dims(windows, 0, 1), PyArray_DATA(out)));
    if (st != EK_OK) {
        Py_CLEAR(out);
        ekpy_raise(st, &sig);
    }
done:
    Py_XDECREF((PyObject *)windows);
    Py_XDECREF((PyObject *)x);
    return (PyObject *)out;
}

static PyObject *py_lomb(PyObject *mod, PyObject *const *args, Py_ssize_t nargs, PyObject *kw) {
    static const ekpy_sig sig = {
        "lomb", {"t", "x", "freqs", "threads", NULL},
         3
    };
    PyObject *a[EKPY_MAX_ARGS];
    PyArrayObject *t = NULL, *x = NULL, *freqs = NULL, *out = NULL;
    size_t threads = 0;
    ek_status st;
    (void)mod;
    if (ekpy_bind(&sig, args, nargs, kw, a) < 0) return NULL;
    if (ekpy_size(&sig, a[3], "threads", 0, &threads) < 0) return NULL;
    if ((t = ekpy_in(&sig, a[0], NPY_DOUBLE, 1, 1, "t")) == NULL) goto done;
    if ((x = ekpy_in(&sig, a[1], NPY_DOUBLE, 1, 1, "x")) == NULL) goto done;
    if ((freqs = ekpy_in(&sig, a[2], NPY_DOUBLE, 1, 1, "freqs")) == NULL) goto done;
    if (ekpy_same_dim(&sig, t, 0, x, 0, "t and x") < 0) goto done;
    if ((out = ekpy_out(&sig, NULL, NPY_DOUBLE, 1, PyArray_DIMS(freqs), "out")) == NULL) goto done;
    EKPY_RUN(st, threads,
             ek_dsp_lomb_f64(PyArray_DATA(t), PyArray_DATA(x), ekpy_dims(x, 0, 1),
                             PyArray_DATA(freqs), ekpy_dims(freqs, 0, 1), PyArray_DATA(out)));
    if (st != EK_OK) {
        Py_CLEAR(out);
        ekpy_raise(st, &sig);
    }
done:
    Py_XDECREF((PyObject *)freqs);
    Py_XDECREF((PyObject *)x);
    Py_XDECREF((PyObject *)t);
    return (PyObject *)out;
}

PyMethodDef ekpy_hrv_methods[] = {
    EKPY_METHOD("median_beat", py_median_beat),
    EKPY_METHOD("align_beats", py_align_beats),
    EKPY_METHOD("template_matches", py_template_matches),
    EKPY_METHOD("dfa", py_dfa),
    EKPY_METHOD("lomb", py_lomb),
    {NULL, NULL, 0, NULL},
};
