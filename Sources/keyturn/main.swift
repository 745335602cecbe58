print("keyturn")
