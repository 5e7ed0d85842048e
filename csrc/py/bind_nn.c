/* Programs of the forward engine, as capsules that ecgkit.nn keeps. Building checks sizes in C;
 * messages for users are made in Python, where the layers have names. */
#include "ekpy.h"
#include "ek_nn.h"

static const char CAPSULE[] = "ecgkit.nn.program";
enum { MAX_LIST = 64, BUF_FIELDS = 11 };

static void drop_program(PyObject *capsule) {
    ek_nn_free(PyCapsule_GetPointer(capsule, CAPSULE));
}

static ek_nn *as_program(const ekpy_sig *sig, PyObject *o) {
    if (!PyCapsule_IsValid(o, CAPSULE)) {
        PyErr_Format(PyExc_TypeError, "%s: program must come from nn_new, got %R", sig->name,
                     (PyObject *)Py_TYPE(o));
        return NULL;
    }
    return PyCapsule_GetPointer(o, CAPSULE);
}

/* Tuples only: the caller is our own Python. */
static Py_ssize_t tuple_of(PyObject *o, Py_ssize_t max) {
    if (o == NULL || !PyTuple_Check(o) || (max >= 0 && PyTuple_Size(o) > max)) {
        if (!PyErr_Occurred()) PyErr_SetString(PyExc_TypeError, "nn_new: malformed description");
        return -1;
    }
    return PyTuple_Size(o);
}

static int parse_bufs(PyObject *list, ek_nn_buf *bufs, Py_ssize_t n) {
    for (Py_ssize_t i = 0; i < n; i++) {
        PyObject *t = PyTuple_GetItem(list, i);
        size_t v[BUF_FIELDS];
        if (tuple_of(t, BUF_FIELDS) != BUF_FIELDS) {
            if (!PyErr_Occurred()) PyErr_SetString(PyExc_TypeError, "nn_new: malformed buffer");
            return -1;
        }
        for (Py_ssize_t k = 0; k < BUF_FIELDS; k++) {
            v[k] = PyLong_AsSize_t(PyTuple_GetItem(t, k));
            if (PyErr_Occurred()) return -1;
        }
        bufs[i] = (ek_nn_buf){.slot = v[0],
                              .offset = v[1],
                              .items = v[2],
                              .c = v[3],
                              .h = v[4],
                              .w = v[5],
                              .lanes = v[6],
                              .top = v[7],
                              .bottom = v[8],
                              .left = v[9],
                              .right = v[10]};
    }
    return 0;
}

/* One step: (op, bufs, ints, reals, arrays); a buffer of None is absent. */
static int add_step(const ekpy_sig *sig, ek_nn *p, PyObject *t) {
    size_t bufs[MAX_LIST], lengths[MAX_LIST];
    int64_t ints[MAX_LIST];
    double reals[MAX_LIST];
    const float *arrays[MAX_LIST];
    PyArrayObject *held[MAX_LIST];
    ek_nn_args a = {bufs, ints, reals, arrays, lengths, 0, 0, 0, 0};
    int failed = -1;
    if (tuple_of(t, 5) != 5) return -1;
    PyObject *name = PyTuple_GetItem(t, 0), *item[5];
    Py_ssize_t count[5];
    for (Py_ssize_t i = 1; i < 5; i++) {
        item[i] = PyTuple_GetItem(t, i);
        if ((count[i] = tuple_of(item[i], MAX_LIST)) < 0) return -1;
    }
    PyObject *utf8 = PyUnicode_AsUTF8String(name);
    if (utf8 == NULL) return -1;
    for (; a.nbufs < (size_t)count[1]; a.nbufs++) {
        PyObject *o = PyTuple_GetItem(item[1], (Py_ssize_t)a.nbufs);
        bufs[a.nbufs] = o == Py_None ? SIZE_MAX : PyLong_AsSize_t(o);
        if (PyErr_Occurred()) goto done;
    }
    for (; a.nints < (size_t)count[2]; a.nints++) {
        ints[a.nints] = PyLong_AsLongLong(PyTuple_GetItem(item[2], (Py_ssize_t)a.nints));
        if (PyErr_Occurred()) goto done;
    }
    for (; a.nreals < (size_t)count[3]; a.nreals++) {
        reals[a.nreals] = PyFloat_AsDouble(PyTuple_GetItem(item[3], (Py_ssize_t)a.nreals));
        if (PyErr_Occurred()) goto done;
    }
    for (; a.narrays < (size_t)count[4]; a.narrays++) {
        PyArrayObject *x = ekpy_in(sig, PyTuple_GetItem(item[4], (Py_ssize_t)a.narrays), NPY_FLOAT,
                                   0, NPY_MAXDIMS, "weights");
        if (x == NULL) goto done;
        held[a.narrays] = x;
        arrays[a.narrays] = PyArray_DATA(x);
        lengths[a.narrays] = (size_t)PyArray_SIZE(x);
    }
    const ek_status st = ek_nn_add(p, PyBytes_AsString(utf8), &a);
    if (st == EK_OK)
        failed = 0;
    else if (st == EK_ENOMEM)
        PyErr_NoMemory();
    else
        PyErr_Format(PyExc_ValueError, "%s: step %zu (%U) does not fit its buffers", sig->name,
                     ek_nn_steps(p), name);
done:
    for (size_t i = 0; i < a.narrays; i++) Py_DECREF((PyObject *)held[i]);
    Py_DECREF(utf8);
    return failed;
}

static PyObject *py_nn_new(PyObject *mod, PyObject *const *args, Py_ssize_t nargs, PyObject *kw) {
    static const ekpy_sig sig = {
        "nn_new", {"bufs", "slots", "block", "steps", NULL},
         4
    };
    PyObject *a[EKPY_MAX_ARGS], *capsule = NULL;
    size_t slots, block;
    ek_nn_buf *bufs = NULL;
    ek_nn *p = NULL;
    (void)mod;
    if (ekpy_bind(&sig, args, nargs, kw, a) < 0 || ekpy_size(&sig, a[1], "slots", 1, &slots) < 0 ||
        ekpy_size(&sig, a[2], "block", 1, &block) < 0)
        return NULL;
    const Py_ssize_t nbufs = tuple_of(a[0], -1), nsteps = tuple_of(a[3], -1);
    if (nbufs < 0 || nsteps < 0) return NULL;
    bufs = PyMem_Calloc((size_t)nbufs + 1, sizeof *bufs);
    if (bufs == NULL) return PyErr_NoMemory();
    if (parse_bufs(a[0], bufs, nbufs) < 0) goto done;
    const ek_status st = ek_nn_new(bufs, (size_t)nbufs, slots, block, &p);
    if (st != EK_OK) {
        ekpy_raise(st, &sig);
        goto done;
    }
    for (Py_ssize_t i = 0; i < nsteps; i++)
        if (add_step(&sig, p, PyTuple_GetItem(a[3], i)) < 0) goto done;
    capsule = PyCapsule_New(p, CAPSULE, drop_program);
    if (capsule != NULL) p = NULL;
done:
    PyMem_Free(bufs);
    ek_nn_free(p);
    return capsule;
}

/* arrays: one per slot from 1 up, float32, C-contiguous; the first one's first axis is the batch.
 */
static PyObject *run(const ekpy_sig *sig, PyObject *program, PyObject *list, size_t n,
                     size_t threads, double *times) {
    ek_nn *p = as_program(sig, program);
    if (p == NULL) return NULL;
    float *arrays[MAX_LIST] = {NULL};
    const Py_ssize_t count = tuple_of(list, MAX_LIST - 1);
    if (count < 0) return NULL;
    if ((size_t)count + 1 != ek_nn_slots(p)) {
        PyErr_Format(PyExc_ValueError, "%s: %zu arrays wanted, got %zd", sig->name,
                     ek_nn_slots(p) - 1, count);
        return NULL;
    }
    for (Py_ssize_t i = 0; i < count; i++) {
        PyArrayObject *x = (PyArrayObject *)PyTuple_GetItem(list, i);
        const size_t size = ek_nn_slot_size(p, (size_t)i + 1);
        if (!PyArray_Check((PyObject *)x) || PyArray_TYPE(x) != NPY_FLOAT ||
            !PyArray_ISCARRAY_RO(x) || (size_t)PyArray_SIZE(x) != n * size) {
            PyErr_Format(PyExc_ValueError,
                         "%s: array %zd must be float32, C-contiguous, %zu samples of %zu",
                         sig->name, i, n, size);
            return NULL;
        }
        arrays[i + 1] = PyArray_DATA(x);
    }
    ek_status st;
    EKPY_RUN(st, threads, ek_nn_run(p, n, arrays, times));
    if (st != EK_OK) {
        ekpy_raise(st, sig);
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyObject *py_nn_run(PyObject *mod, PyObject *const *args, Py_ssize_t nargs, PyObject *kw) {
    static const ekpy_sig sig = {
        "nn_run", {"program", "n", "arrays", "threads", NULL},
         3
    };
    PyObject *a[EKPY_MAX_ARGS];
    size_t n, threads = 0;
    (void)mod;
    if (ekpy_bind(&sig, args, nargs, kw, a) < 0 || ekpy_size(&sig, a[1], "n", 0, &n) < 0 ||
        ekpy_size(&sig, a[3], "threads", 0, &threads) < 0)
        return NULL;
    return run(&sig, a[0], a[2], n, threads, NULL);
}

static PyObject *py_nn_profile(PyObject *mod, PyObject *const *args, Py_ssize_t nargs,
                               PyObject *kw) {
    static const ekpy_sig sig = {
        "nn_profile", {"program", "n", "arrays", NULL},
         3
    };
    PyObject *a[EKPY_MAX_ARGS];
    PyArrayObject *out = NULL;
    size_t n;
    (void)mod;
    if (ekpy_bind(&sig, args, nargs, kw, a) < 0 || ekpy_size(&sig, a[1], "n", 0, &n) < 0)
        return NULL;
    ek_nn *p = as_program(&sig, a[0]);
    if (p == NULL) return NULL;
    const npy_intp shape[1] = {(npy_intp)ek_nn_steps(p)};
    if ((out = (PyArrayObject *)PyArray_ZEROS(1, (npy_intp *)shape, NPY_DOUBLE, 0)) == NULL)
        return NULL;
    PyObject *done = run(&sig, a[0], a[2], n, 1, PyArray_DATA(out));
    if (done == NULL) Py_CLEAR(out);
    Py_XDECREF(done);
    return (PyObject *)out;
}

static PyObject *py_nn_facts(PyObject *mod, PyObject *const *args, Py_ssize_t nargs, PyObject *kw) {
    static const ekpy_sig sig = {
        "nn_facts", {"program", NULL},
         1
    };
    PyObject *a[EKPY_MAX_ARGS];
    (void)mod;
    if (ekpy_bind(&sig, args, nargs, kw, a) < 0) return NULL;
    const ek_nn *p = as_program(&sig, a[0]);
    if (p == NULL) return NULL;
    return Py_BuildValue("{s:s,s:n,s:n}", "isa", ek_nn_isa_name(p), "weight_bytes",
                         (Py_ssize_t)ek_nn_weight_bytes(p), "arena_bytes",
                         (Py_ssize_t)ek_nn_arena_bytes(p));
}

static PyObject *py_nn_width(PyObject *mod, PyObject *const *args, Py_ssize_t nargs, PyObject *kw) {
    static const ekpy_sig sig = {"nn_width", {NULL}, 0};
    PyObject *a[EKPY_MAX_ARGS];
    (void)mod;
    if (ekpy_bind(&sig, args, nargs, kw, a) < 0) return NULL;
    return PyLong_FromSize_t(ek_nn_width());
}

static PyObject *py_nn_peak(PyObject *mod, PyObject *const *args, Py_ssize_t nargs, PyObject *kw) {
    static const ekpy_sig sig = {"nn_peak", {NULL}, 0};
    PyObject *a[EKPY_MAX_ARGS];
    (void)mod;
    if (ekpy_bind(&sig, args, nargs, kw, a) < 0) return NULL;
    return PyFloat_FromDouble(ek_nn_peak());
}

PyMethodDef ekpy_nn_methods[] = {
    EKPY_METHOD("nn_new", py_nn_new),
    EKPY_METHOD("nn_run", py_nn_run),
    EKPY_METHOD("nn_profile", py_nn_profile),
    EKPY_METHOD("nn_facts", py_nn_facts),
    EKPY_METHOD("nn_width", py_nn_width),
    EKPY_METHOD("nn_peak", py_nn_peak),
    {NULL, NULL, 0, NULL},
};
