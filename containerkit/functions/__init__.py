"""Python functions in containers: arguments in, results and exceptions out.

Words: a *call* is one run of a function, in a container of its own. Its *exchange* is a directory that both sides have:
what goes in and what comes out are files there. The *host view* is this machine's own files as a container's, which it
may write to, and of which nothing stays.

One call walks through the files like this::

    function.py    a Function is called: options become settings
      hostview.py    image="host": which directories, each copy-on-write, and what else the interpreter needs
    calling.py     as many calls at once as are wanted, and their output as it comes; waits for descriptors
    call.py        one of them: exchange, container, what became of it
      sending.py     function and arguments are written: by cloudpickle, large buffers beside the pickle
      inside.py      the program in the container: reads them, calls, writes the result or the exception
    launch.run       tied to this process: it ends when this process does, whatever ends that

An exchange is a Workspace of the store: what a killed caller has left is removed by the next one. Large arrays are not
copied through pipes: both sides map the other's file. Nothing of them is in the log, which has the output alone.

Both sides unpickle what the other has written: who could not be allowed to run code here cannot be allowed to write the
function, nor to make its image.
"""
