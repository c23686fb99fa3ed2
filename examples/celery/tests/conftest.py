from race.tasks import app

# This process does the work, and remembers the results. Here, because a task reads it when it is first looked at.
app.conf.update(task_always_eager=True, task_store_eager_result=True, result_backend="cache+memory://")
