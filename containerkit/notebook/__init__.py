"""Widgets and magics. What a button does, a line of Python does too: with public names.

Every widget's state and buttons work without a browser: ``panel.stop_button.click()`` stops the container, and
``panel.status`` says so.

A widget, walked through: ``Container.panel()`` imports ``panel`` and makes a ``ContainerPanel``. ``cells`` notes in
which cell, so that it ends when that is run again. A ``Timer`` calls ``refresh`` a few times a second, which asks
public names and draws; a look that fails is shown (``looking``). A click in the page runs in a thread of its own
(``aside``), for a stop takes seconds and the cells go on meanwhile. ``close`` ends the thread.

=====================================  ==============================================================
``dashboard``, ``table``               all containers; the table is drawn by ``static/table.js``
``panel``, ``limits``                  one container: charts, and sliders that change its limits
``logview``, ``terminal``              its log, its terminal (``static/``: log.js, terminal.js, xterm.js)
``runform``, ``runoptions``            a form for ``ck.run``; how options are written as words
``browser``, ``stepperpanel``          an image's layers and files; a start, one operation at a time
``volumepanel``, ``volumecontrols``,   backups of volumes; ``backuptask`` makes them meanwhile
``backuptask``
``progress``                           how far a pull, build or backup is
``looking``, ``timer``, ``aside``,     what all of them share
``cells``, ``assets``
``magics``                             ``%load_ext containerkit``, and ``%%dockerfile``
``containermagic``, ``ckmagic``,       ``%%container``, ``%ck``, ``%%ck_profile``; ``magicline`` reads their
``profilemagic``, ``magicline``,       lines, ``completion`` is for the tab key
``completion``
=====================================  ==============================================================
"""
