from tornado.web import Application

app = Application()
