"""Long work: calls that go on when their client has left, and whose results are fetched later.

Nothing here but `options` is imported where ``tasks=`` is not given. In the order in which to read:

    options      where tasks are kept, and what they may take
    seal         what a store keeps of a task, so that only we can read it
    request      the request of a caller in a form that can be kept
    scripts      what is one step in the store
    store        the tasks in the store
    worker       runs tasks
    engine       the tasks of a mount, from its start to its stop
    extension    how a client starts, fetches and ends a task
"""
