// The browser codec of vaecodec, Apache-2.0. Built by web/build.py from web/src; edit that.
const KERNEL = "eNrtXOuPJNdVr1dXP6qf0zPTPdPzOFU7szvPndnxymAbsNtm7V0vcSx/QELBWa/twd6eXq/n4Y2Tjd0rIkWGRChK4g8gIoEEyoPEEuEVUEQSggQfUMQnvvAFJAIS+QOwUCrL73duVXfPbI/XkSFy0HpdfR91n+f8zrnn3ntqrMv7V23LsuzftivPuL1ez3om0+tpWOj1/7OecfiTG6Q9E2T7GVrrNeuZPIMkzzcv7Z629Vo/5aeVSr3h/wbNoUx+kO1OTli243oZP+vn8oXAL3peySr7XsZ+2bbtjGtbtl9xenb75ht20LM0yP6h0/Cvbl+9tvdRxyptv/ry5Zeev/Ti5e717X3L8l6+/NyOZeeeu/bS9WvIshxv/0r3FcvNP7/98sGLH7myv215wbPda8/tXNp+6WB7z8okqe72ZRT3M/vPXe5uW9ng+SvXrzy/fWnv2kf2rVzh+e3dVy6/dHDlY9tWPrt37RV0+TGrkOtnBvlf27t29dLeC89etorZg2smVipdQR8vbO9d6l7+KPoq5164fPAikh+zKiV0dIABXLry0vPbr1rV8vPbz11Dh/vbL1zFyKxacf+jV5+91r303LX9g31rrHJ1+/L+K3uDAvXy9kuHaowHly69uH355UvPXt7fdu3CF37Pnvgnx/F67g3nIXHa9vmS1bZCVxPuB0oWgh/eunUruxu5oSd2mBEr9N2HJCN+/LRtRdm4eKt3+F/8RJSLv2y3S/Ef2VE+LlrWzd7wEz8pJvcjw0/877bk0NiNw//irfiLdvyUZBmgknVz+ImfiJ+MA8eSTLvawdj8dq4T+uK1P96JgJJAXHEeLdmBOOLuYPyWuG37gCVtxBzEOBdfMhuYitO+dcvGPNulgwhounnzh9k9sf/6EY7u899E+Vv/ZV9sgSDVA769+eru3r3atWO69kzXPdN1EHzSc+o95zWQ0lW64l0SOAdhpm3oaKNidi/K6mBymvT3orwmC5rM7EWBJoua9PaikibLmnT3ooomq5p09qKaJsc0ae9FdU2OS8a8P+gsOVY3nBAvnAQrGxiCIw2Z6Kw41s86FiZrWWHTBFMYel3cJzDmBuqPsybLhVMgKKYrU6iBMrVBmbF+mSbL5DrSHNVqZVCjerjVYr/V0qBM+XCr1WNaDQY1iodbHe+3mh+UKRxutXmoVRTNDormDhedMUURk04I8pH1DZkk6yeJOsIw8sU9rzj40zG/1XNu2D3/BuWsfXNTMle/0/auhoW+zJFXDHLtYjcMELgH4LclNiKdsITQOwDHmVHsdsKKxlK2F76DaFRoe4Ln8VZU6xJhY0CmfT6sg8vjANuEcnpCahgjIpPnWxjyBEfexNspvPVkiu1Md9rAaCtsQS6mdsIZyNCUZLra26xMhHMYdFOcxzHarEx3wnkZD0WqYSilMJJKeEKaQC7Kocm5cEEK4ZwK7qH/wkXnIbTTQiOL4ckiJLQVM/ukzLQzJAST1XAxkAXJ6XROaYX6Obw7GS7hWcazgtqreNbwrLMVQYdheFqicENOhCB0eOa44jIbFjDERSmwq2hLNuO8ZUX3QBHF/2aHi3JS31jRWUnzTsqqbMnGoXKrsiSDEkuyhhKnD5VYk+WhEsuyjhILh0qsy8pQiRVZIFsW5DSD07LBYEM2GWyCxULNcIZgO0N8ybyc6hBKRDfJUzDjlhU0FgcWUT8DXOibHNkYLaB/llhOSuBFcZC7NMgNOlHa2skkt+gESQ9VWTd51eMbNhlVWRuUHNVTWmx1UGxE1/1+F5Ni5HgB8xw1SYwhnRn6SaeDtjgHrbd+ZOhrml4YqojM1SRzaZgii0lNbQygk3IHIhAyCCViEMkJBidkDlxDjcYvKauyMmfg3KHkbEKK58Q2oqUMVCbOtXv70uiUXce23OA9yM7tErNoRIB1oEDQE+SdKOsSbsw5Dc3VJegyQNyRWioss4mwGIivDQnLbCIsa31hWekDfa0PbQrLWl9YKE6FQyVWVVjW+sJSIOoLRyRiljIwC8GADGyQsCn0NyHEw/gboGIzYXOKqT70Nsnn20DuBUlbQ5g8tokUliuDksV3g16XnSyPHGeCNzaUQFYLrx4ZyEoCxKXhqRxCJ8R1BIK2+gjaCs8OEHT2MIK2hhB0FjzeMmhLkZPiJgOOJK8Bka0EIksJ65cTVm6BrQYiK5LmnQVslhIALPdhsyiDEotHAJBw/jQ5f3oU5xfvyPmzKY/dAY9PHsfjs0eZt5Uyz2HtxdHMO5sqyk1lwnCzWwlzziZ66D0xR+pIZsKFAdkTYi4eJbos9kmeEDSh5AIpuWAoeZSW/clrxw5WoCprbvYJEW5xeJtmMqaUnZSigt0y6nGK1tCU+LSGZFzGaI1WGVRh443RuqkwqMgkzFLYJsZq+h2oP7MrsdNdiYN5WmIpiFxx43/VHcFbDw8/8X+azL8ZfuIf2JEbFx/4yjceHH5IEhjrcfETNz983/DDvYgreGHdPPOt4ccQEf+zOewLHhx+ogxeCAem1ZN/cfGFK0/eN/ywkeL3HvmL+4cfNsv83G/kfm74SfO/8+WVnx9+0vyvfGXlF4afNB80enD4SfIxQC9+2243sDe7fQbxWywknEf8H4b1FrlpqbkfOWIb3ryRccq9SfIm2dL0NziZA2xivPZMN8wjaHYBF689TpPWowVbRAADt4TANfYsN0NRxdixCGowTRGMgdt13WVy+xKNd6IJZKsYTMKGzWk0atwuPFETEwinUCYwZaZFc1rIKZucGZMDU1bbm0OP46bpeYwhiQqGlkRD2MFJNEIreRM9gWjBRBcQLZroIqIlEz1Jmxum8Ck8S4iPu2Z1H2/bnWhc9wawq1syC4NhSeYS5oQy2ceYnIL2MNmSyi8TTWhWkz0vJ/rZYXMENZax4i6b9X4Mezyd/7I0yORaml6RaaaraXpVZpj+3xoVjZ4J7JcUTeQiqDIfNmEunYKlvoThzcsK6L0KQrsy/hiVRJWgq0qNQU3GGIxJlkEWgAAS6+IZJP6t6zjcU1k8nBAL27QoA4YiUuUPt70ZNIvddvXXsWWnrsb7bpRRwAJhlFDO2hf/x9Mn/nH6JDtan/iSfSd94o/QJzlSkwPT6sm/950+yd5Rn+SG9IlLLrrUBtC8kjFc/JeSZ2OHPAadQq55YLMV550cdAnDYphX0VH2FoyqUQYqx2egXBA0oVwK1D8lBNA/ZQTQPxUE0D9VLnsHAFOB+mcMAfRPHUgpGP0CUAJ8HWgXj0EDgGqKr9viojTNtjhqpXpgBnJrxDyaHSF1FBuguiVVU0ZUkIDvltRNTmRyTqC36VSJuGl0EcNKoieTtf+UBGnWEloxmgzWcSvViiuI1kx0FdExE13DNFrYhK/jOY34dKKDpqmDppX6kNZllVwYXRwTZH1VxRob2XUGJ6AHTsHcN8yeSYV/5P+jdvrRBvY5G+EZ6qBZaUjLUGCDbR/uWbD4J283mT48jpGjEGrkpM6Z4wYWzgXUtB30QgSSi6DKAjQ/TwFOcocN8m+C7mdA8IxMqw6aIFBhjzCYlAaDBkwZBFMABNDblIKi10DRgmwWkmOSqAplddPtdhRv37a7qr0AOE94zgfzJ9u2DwDNHOZf4un28BOtQxFhUPmRLzf4EptGwDwTuolR5BPIXYNSjkKcnajV3hQ851uRiofwZ4FmLPQksExhsY1OBMKxr+X7Jf6sIVXBclBJdSZkdpPP+VZYpmFqpps1Qblt83m8pcdIDamCZrVwEoOaAJEnw+nkcGlaUukxkNYzgB9L4S4cp3AXRyvcBcDnHRTuwgiFy22AnkVo9eTf+07hLt5R4Z5MFC6iG6AngP8Do31bxG8L8o9gGmj2aJhn1TCfEE/xbrRggxqiIc3HFOE1rOEKkE3+nEWqIEMA0qNX4E8BUZByl3uKVtu5zkYm2+6u6tMpxU7xAspMJncKBh1SCltASMsAA9KOEZ8eHjGMv4mRr+T4V5vHv/q2RRokojzNq4JpnWXjnA4Nw53GxmRKT2XeeWBKyl5aP9nMuO0nucI5HIKTrnC/5TjOjWyvv5tJj329uI5tA0QaIsyWsm1vF6te1hCv/SNz9cLrgLAAWvHwOXMhLCZ6vHjO7IuoW/NYNN3hLZI4/DX2PAbupwOnRR+VpGTKtM0adXux5GzbYkBpfx2DI04KocOdZw6DTzviZEGs47sLUS8gGAKxFVHBN1231LNvOL0RewgoyqyeboMQLoiCrQTe7WIr4aa4CTDrIpLuRdZ+dJcnZhmzlyh1xL8IjeiJ2+GowF/JXNzdYwtlLOk8OneMlg5rusUoshpYVycpla5ljKMOwwNWuwQQigoIUQstPUHHlB0r/m/sFNSkcQwNlVK6U5ogoCZIqQCZgbjm/imklBTO6Tox1kE7njkGrEKQzAmgGRVMnK9LfcWx3jQXDPYeiedI/lFULYnFtcQVa4dqFl0Sow7zQd0u5Laio7S0i8NNAdod3cYd7SGng5esGfzrZvAB1L/HPXkNmy0sY0VyD7s3w73fzQRZcM9+zbmR6dmv2Xq74TDdv8+w0wAscsgicDGjMDaXG4FOl3daKU9LQq73OjwgdfV+C6MTO2Uil8u4BkPO/XRUi+skA37Js3HxQI1s/z4L2zVytGmuf2j29I829Fan2YlyUmbQxArcvAAj6oMqR9NM8rnY4u2WdZGcgz2Y3n40ZQpdtoyNw3tzB49rDMISNpQNGlioP9O2efU5J9X4z+xoPm4pn9D0XNxyB1FnELUHUS1L7MW/7Fg2fxz+uIRcC5CTOvZr6BnNj0HGZA5I/cX4KS5pc/E87/Awgvm0SWTZ/SwnzXL6WW6a5TIrWRdm4qKHWQ0/WFgwyVlie5bYLqmOtBXbsCd2uJ1GdVcvMSdprXZJrwbQzRjp0tRbtK/L1JsAcE2mwR1YxiK1p1v4dT/c+qyOingkGwLWn8bGGj3NUjXOKiy561azzDPLlN68JXtqx6DzHz0v2/OJxh4vWW/DZCa5+s0OozNn8Jg3t7OFASypanyqGzc9n88pWLyRh3dQrH48YwG8AVR6Vq/LPWqZuHgT7Q0/oJ+nuqQTVdjQjx4efmgGvW3DEKvE37ej6oieavHD0ZhoVeu7w0/8CBp8Mn4KuqUWt1HiifY88Iifr9oAytB1ucfAgyyMxX9sUzuSvz75W8a/Slyiw0WxVK6k5idgEFV0UCU6ZAxbpjQ9WiAVJu6B/yk0vB2shRaMWa/LHrNK3w5porTMAAWfwXa+/jm9d/3VaNwsaROgLs83mfvdp5l3s5dkPkLyQArqGnmmFdU/xVIfZCmpf0lLmfv5cCLQsxtey8uE3tVL3szb47y5uERucjFTICAsvrBSbWfwJH7wD07Whp7z8Pg9B/oOIyzchiv30wOtlqGOKxlzv8zSeCqqHPS2npqpCmhgKFCuPpRZHrtRm4dEnHzbDifRPPiHgpCWQOkEe6whAaSlQWn53OejBid+84JOHJb3m9BnzYSOyBlbh2KaUCo3PmPKJkRqfCmcGhBpigifhL0D9d8iyeoprYqkVQ07XT2EcXgIU6d41mHkTfIkeJwEHCdeEsIlhPW5mvhgepmLd4XUrKTULASf8u3S7es+VT/q6LqfVWNIl39jAQ2bAHjB/hw6RHDZC0tct/GUQd+yuNjzI1HVZTALGub4nG9xN4Z8m8bqOT364dy4wECKsCaLf75F1oBqfwJS9R55kwT7liqlDJcD0uDdFc6RbnlOpRMZeydd+9klzzkjHujYd+oyzPAozOZ+0mUzybRKR6elPA5UbmzyFcFP8fSK/0+nRx8kmlpl5pVTU+oTXiavKoXqZeAq5PRPuXYHxjCdQSAJtjqBUFUXuokl7IUl4l29isqpahWqcftqVFHPFQ7uwc/qQD//maiqakJM8OFWVBtSD7UvhWMD9TAWJK3ZIEpBKt2o0hnRYM00WEsbPKKUxwcNjgfabe+RZ2jDJrHJfifQkJ0ff8CNQfuNoH3L5nF3C4oAsXGZbIVjjDXSjlvhOC1B1q1gfYC1zM2WC1LBmKxgykTJ/ZbD1eN+i9yu3M97Piot4PCWHVa45SpBv1HJVgJTwk34nvqCpbxW7pfE4e7Qoj3dX2FcA4Lvb3lhz1MberBDzNJDqJQiwRy3tEEfKMADPYgx+pMRKL2okgAH23iqyCpm5nWjWtvnjoE+YWE92TGqD5x6hNVpSmW4bZ3EKlPtMr9BfX0A26tGtE0R9Ooyx606d8MFHgAdRFiUupo/I1TK9l6angUM51B2HmVnZd6ULfFdVKSXxAyXlRCvtJJ54dJhYobicaLNo9DpcFEy4UmZCE/JZLikjkTGDeFkuCqnwjVZCtdHmESnww05HW7iOYN2tnQxrcsyLJAVCMkqlrE1EGY9HOPBv55C3QPTh+btX3Fn/xaP3e6B1Z7kbDBnAznFNGeTOZvIqaU5Z5hzJj3WLjIophcXyTVGcn/BpROWTkVPW5al0cGUVrALwaxWGazKGoM1WWewLluEyJbRExLKQtu+DkJhlT4D4x7IY2jpr6O/Lja+KMWdLb3fsI96JapBZvGcb2FI1vnWA7YlJ0Qb2Uwa2dRGNrWRTW2kaPaIx9UXU38jqb+h9Te0/kZSP/dO9SNT/3RS/7TWP631Tyf1i/36Lv31tL6b1l+UqY76myA4KacYnJIlBkvqJBAtJAdac7T85ojATjRvrA9IX4PS12JeS88iih5sEhWIE0Yg5o1AzNxRIGYBrpIKRCnFfpRgP0R2BJ5lTbYoqGcTUM9jvDN3Qa1+UwukT+S+Z1BjQ/eeQO3i9XsBtdv2f1KgPkFQhyRjeBjUJeaVDKhdNVqKxhuwlOhro4J56EkHYrCGbsV00KTiXVSHN3SexeqRHN16qev3Ogs2JB/XgKUyfjdQrHQBDZgC5ygCnTQBrd72LmBBkNJOP28v3AJuT1FewgpQ31TPsqlwBblriumqrq9bJcvIAE8dcniYCO8BvoEyoLAJCC4DfysAnx+6tBdHyMymbPDGooMf6SiOIRojzlTe4uXkV+3oLNj057bcwwsXL5PLFxGaf3J2RPNn4vtGlcXm+kM2jSBh/z6KFO3kpCh94iejs+mpi4+2kzMZjdqD6LGHQO9mwHKH4VUHw3OSQ6z0eT8Mb2wwPDc5X0uf98PwqAlUG+aMNswZbZijNnT1bsHl0KsY7vBDjXoP1CWs9jqFtoFanqzrKQl2CddRy0dE/fxddZCnQinLO2m9Zr/QO2u35UG5d9RiK4Nyxc4dtO1gXahSP1WNfgow8FUe1TYZNNHzqlkRVrkirFGprCVaqyALPEJYZEDNt0DlM8VgSk6x4Km+KkuvS6nBsIYMaaiVVEM1jUY7qqHCZaNeoHQSl6K+olk+RtGMkRNG0XBBbTc7x+iXIvVLkfqFhIAa+gnoF8D/V2zsM1SjaRybSn5loXF6nWmELJruvF+10GASY0OTKAwmAXgN5jHTeb+qq8E8xofmURyahzc0j7nO+1WvRZvpPCZpLiXzKCdxW40bE7d0PVXRp6IrHq/oalR0Ncr5KhdraaqiG6OqO+gc0XXuHRVdYt6V36UZV36X5tq7UHS5YxXdmPopQqPbNIBTnbZOnZboOVVfzl1L7K4ldtcSu2uJ/fRbYs5dS+yuJXbXErtrif1UWmJBEPym51Z79g1v6PI5c5y3Ut8fxKHfOP1BbDotqf4rqgOJfpWdOImUWXWXdzB680KtXEPgDr5k8cNx4c2+Rd9YesoaVxLahWVMbDx0ZCLMqodZll4h0hwBEF32Eo+t5HMIl+x11WUDdmE58btomK/szQVXo6MfxOSl0WXFcTp3qvtLRa22rHqKkcgOvSPYsmNa7ntHNMTeaX/8Yol+HFPdcFpsfhnOc8wqWu+GLWUYYzNofkqbR2PgDPMag5nJdCfti6olK61B2mN6ZpD2mW4M0mbWxk+jP2t+UBbwgzL9kp1+QXQ5lYyCwKcd7YtFDwYrxUdy7/qXnlsHFtwhLDhH/BBt8y2TuXNlihdd7m7I+4K3Dd/pvsZbR29Xb+p6vNi1u7TiK/yzBZLtdpiookZ24KoIbGQAWMt4r7n8AwoZzMPvRnZHzJUkSXiB3yAxAirbnQu7YIx1nia99dieujNOYImclLr5WkFRNaWomsDwi+DSZGgDCWX9KxPlGAiSFkDleH6uUCynS1z8Id6r2iQvPbmrdLybbr9qnFrRzJQUEx/Gqb7zBACRAxA66uY0zRfoYxKDlPK6Zd1vUaBz+hcqKBD2sJPslLgJlHKgFFrPaSEiJ6d37t1wVmMuYnPJ8Nl0NI1GpzpJ+/yCAemZQdphenaQdpme6/THk+d4XP4hhfRaH81m1YmMmGpIk/hoJvoDWxqjUxy6uyT+ZQl0/t61g+Sq/gl6JVR4Bw/ehDk8eeMapHAv6O2wuT/3SLbAfCagHo3WvY5+h24vOR5/LN0EEu4ImJFDRv5AP3pRPyJzAxKV2tnr7R+5u3sd/s2SMl/QIabUvnUL2KSPUbCk3kUBJSLQK2jMvAKlyRKR3uBcj6od8CDQP8VR21E/BTRRvd7tRAHLkUEWx5BtZ67rHxyJKlhGOAD9sKoInYvEoyW68rH2vTqB6oH59EoXF4xvLwSZixLwLQbyClU9sQD78foOrcjdllGqHdOs96jebOclg74/SP3M2edN94zmHqMS4pS0jGeGgV7a3E2VW9ANCYFNpzkWzQX0VefXt8YRI1chvXr7wRcyjtNzXu/fuZNrKs+2WBu2wzruCxE91sT9mnhf+2SUkczrUebhB9+I/C9ijnuSeXj+DfHfOPRijxVGvbhb426N15GN0gDZ2/b+DjGa+M5xBcQKRz+4yFZF8wcFz37d7+Vu2K+rDjEK52GjZDwqGnWIpCuL8QM5139Lf0P1sRQHOihSpZ1PvpA0iiaimoiKRlSMMQfzqrePDd1VZCOxE5VU/iI6rwSPtwSi/HhUbEHp2JBH7v2wWO1Aoq3H1RPqrGN9nB60lHgpnd+jKyAFj1+DU5gwu8RBJrUt9PadYwrLycCpSz0z10fTfeGhr+OrfafAKKCjJfpwwsIo/1i9Eed3xWUpbGChq8a/YcdftqN6YspHJU5O/TElE9d4VsY1o56Y9xHTfRtftHAJxSrxjB1/gJ6wpuTVeIZfC7BNRG06s8a/b3O5iJ9GlYn4Gzasr3r8AMo/FU0a3/BGXLx15D/uHRqoiWWpFj/AoumWw9Zjwo5M3rbx+Ds7/p7NUw86bcp4fF/8JPN0m5k6qesi/wQGoB+T0aN3yGUXa5zHpZ+McmgxF/kFQNEsgWOsdIyfrwfKVvl+2EWYZTGgeBa8NJ8+OAH90MwfOHEfUgiWsTIGXBmVyJkBCjPHorBgvusFHIHCTIJCemVElkGhtcPP1W5DYWaAQv2bB27yFcrgYPYOIvN/LzD8S1M8IKZ1IKUnaGcZH+kI29eCLmH8GyC6mHmUIS8AFZuc4R1Ey01F68gEOanUOHlfziudSLJoG1vN5Ux98e6F6eGzgRyC/M+4VvDPju0PeU66bCwL1tOceDk0zv6w5vgJiWt2IR1gnJaZP7DM/HMldTjPGLvHo/PmwDLTv5sW+SSB+QMffkKnXEonHxTwd6K8uFoIU8mBThjj4y28A5Vyhkq5HdRNqMSSedpiyshc/xNnEAAszAzzBoUw6Ytq1/v6N1hom2Xa7nXdgdq7+hdLaDuiplJXbbSC7h6K2D8FEujn47mXUDDX3YENRWsQrIDNRuMt0D0V9nRZ8xmafVGXoP8ByoYu+w==";

const KERNEL_FUSED = "eNrtXFuMJNdZrlNVXX2pvk5PT3dPz+VU7e7cdmZnZj1rsA3YbbPOXohj+QEJBWe9tgd7a3q9nos3TjZ2r4KIHBKhKIkfkEAICZQLSSSCgIAikpAHeIginnjhCYmAlLzwhkGpLN/3n6runt0eryOLyEHrdc251Ln+//f/5z/n/NXW5f2ryrIs9fuq8ozT7/etZzL9voSF/uA/6xmbf3LDtGuC7CBDar1mPZNnkOR55qXqS1uvDVJeWqnUH/1v2BzK5IfZzlTDUrbjZrysl8sXfK/ouiWr7LkZ9bJSKuMoS3kVu6+6N99Qft+SIPundtO7un312t5HbKu0/erLl196/tKLl3vXt/cty3358nM7lso9d+2l69eQZdnu/pXeK5aTf3775YMXP3xlf9ty/Wd7157bubT90sH2npVJUr3tyyjuZfafu9zbtrL+81euX3l++9LetQ/vW7nC89u7r1x+6eDKR7etfHbv2ivo8qNWITfI9PO/tXft6qW9F569bBWzB9dMrFS6gj5e2N671Lv8EfRVzr1w+eBFJD9qVUro6AADuHTlpee3X7Wq5ee3n7uGDve3X7iKkVm14v5Hrj57rXfpuWv7B/vWROXq9uX9V/aGBerl7ZcO1Zj0L116cfvyy5eevby/7ajCJ/5INf7Ztt2+c8N+RNtdda5kda3AkYTz/pKF4Me3bt3K7oZO4GoVZLQVeM4jOqO9+Gllhdm4eKt/+F/8RJiLv6S6pfjPVJiPi5Z1sz/6xE9qk/vh0Sf+d6VzaOzG4X/x6fgLKn5KZxmgknVz9ImfiJ+MfdvSmW41wti8bi4KPO12PxaFQImvHW0/XlK+trWzg/Fb2umqA5ZUiNmIcS6ezqxjKnb31i2FeXZLByHQdPPmj7N7Wv3dYxzd57+J8rf+S13sgCDVA769+eru3v3StW26dk3XfdO173/Ctet9+zWQ0hG64l0S2AdBpmvoqFAxuxdmZTA5SXp7YV6SBUlm9kJfkkVJunthSZJlSTp7YUWSVUnae2FNkhOSVHthXZKTOmPeH0RLttULGtoNpsDKJoZg66ZuRCu29Yu2hclaVtAyQRtDr2vnCYy5ifqTrMlyQRsExXR1GzVQpjYsMzEo02KZXKRb41qtDGtUD7daHLRaGpYpH261ekSr/rBG8XCrk4NW88MyhcOttg61iqLZYdHc4aIzpihiOgpAPrK+qafI+imijjAMPe2cExz854Q307dvqL53g3LWvbmhM1e/03WvBoWBzJFXDHLdYi/wETgH4LelFSJRUELoHoDjzCj2oqAC1P1ExBJ8z3TVblCTdynnC99BNCx0XY3nQies94i5STC8AdxNCdOndD0Km+T+uU7QwugxiTbeTuOtq6fZQCfqAq6dYAYiMr0TzEKcpnWmJ93M6algHuNva/sCBp7VnSjQuhEEeiIIdSk4pivBcd0GiFEOTc4HJ3QhmBcZPvRfsGA/gnZm0MhCsFiEsM7EzF7Us90MacJkNVjw9Qmdk3ksSQVMm+xZDJbxrOA5ifqreNbwnGI7AboMg3V9LNjQx4NNnQlOH1VczwUFDHIzzltWeJ8usMtwSy/Ev2MHC9pkWOEZvciMRb2RlNvSq8xYRYkzepnRZb0+eLfGjDV5t8Loij4xeHeKGafk3UlGT4JTmiJ/gnw4odcZrOsNBht6k8GmPk2EnSaotNZLEfFDSJ8FGQpmiGjs31TsW4T6LFgvb3JkWHgCvbPESlICL4rD3OVhrh+FaWuLSW7R9pMeqhi55FWPbthkVDH/QclxPaXFVofFxnQ96HchKUbOFjDPcZPEGNKZoZ90OmiLc5B6p24b+pqkT4xUROZqkrk8SpGFpKY0BnDpcgSwhwxCfYzBMX2cwXE9D3ahRuvXhFVZPW+AG1FGNiGo81oZIRIGChPnu/193YrKjq0sx38XUjJONhYM2FkLWgJ9QbYJsB6Rxpx1KKwe8ZYB2G6rBbEwkF7Tc4fFwmSMiMWJpNxWium1oVgUBu8SkVkbikWB8L4d+nOUhzlIADC/QUKmUN+EmI7ibYiCzYStKYYGUNskX+8AtesnbY1g8MgmUhieHJYsvhO0OuxkZew4E3yxoQSiUnj1toGcTIC3PDqVQ2iEeI5BzNYAMVvBmSFizhxGzNYhxJwBW7cMvlKkpDjJgCfJa0DCsHo5gcSK3iInt/RyAomT+gwzziRsX9YrKUaW9ckUP4fZnvB7nfxeH8fvhbvy+0zKWWfI2cWjOHvmdpZtpSyzWXthPMvOpOpwU0g/2uxWwpIzibZ5VywhQ4wtvm4Sj5sE1tATJD9oJpRdEIJvJPxYNPwQbhiGmPdamzeWsMVw5gRtZZL92xbpXgXlbVD+faKzamZNWefURvqppnxeGGkuOOMP16GUWQPqysxsrGBV8npzQOlgi/PfNNQypVRSinp6y2jZaVpS09qjJaUbejKC5TrBYAL24SQtowqDim7CnIUxYyyuj0OLmh2NSqlog2iWtgScTlx84cqTD4w+2on/VfYXX3t09Il/aDL/fvSJf6TYxENf/sbDow82MDFM/7j42zc/9MDoo5Fn3dz81uiD/oQPbOj7j/31g6MPsvG6mPtk7pdGnyT7O19a+eXRJ8n+8pdXfmX0SbIx3YdHH8nGC2y25O3Nh0efMEOuoYgbv6W6Tezf7iwTf02xtpT8D8Nii1yzZEsQ2loZHnzPtcv9OnmQbHsGm6DMATY6bnemF+QRtHqAhdudpNnr0sotIoARXELgGJuXG6awYrY4CGqwWRFMgKt12YlyixNORmED2SJPU7ohIa3bSZPVQt0k2kaTSRTISqMdwCtnojOI5k10FtGCic4h6pvoPKJFE4XJq0smGiBaNtEQY2vcKf/hMRgHx4ITeDvpmHV/squicFK2CmPKL+gZ3dKzMC/mIHLzMLY1bIwA8RCW+BRMlKbuGCSN/R8mCawFPEsUtgls8+Lbm62lmYsj7VfTzKV33BHtnEakjwkiyAlIagv9tzHlaeiZBbBgEbRfAtEdPUk1o6sETlXXGNT0BIMJnWWQBVOBprp2DZq+4tg2904WDyG0he1YmAFzEanyD7e3GTSLXXX149iaU3HjfS80WhQoIeg5IW+M7Hs/nex7R8l+dozsZ8fIvpfIvjde9r3xsu+Nl31vvOx742XfwwtIrzdG9nOJ7GfvKvu5Edl3yC2HkgvdpzOGW/9ddBV2vBOQf3LHBTutOG/nIPcMi0FesC9sLBi1IIwSzs5AESBoQREUqCtKCKArygigKyoIoCuqNB4OAJoCdcUEAuiKOhBRMLoA4HO4MExhK4ug2aUG8II2kFDULZaZjsJOKvsz3PCmAu+k0Tk0N50KfCeRdj/NCnQnFfwQ0UTwjyGaKKHjiFZN9ASiNRNdQHQiSkz3DrbgEl3C+Dpj5H8ZxvFycNLsyoVm09QX00LoMeVXIajUFLC29KpegkTPwNzSOhgjsSt6FZvTVbNVnsLWRORjbaSFRpp56q5NNZOiwaoPJdKJ0HsoCmYZ+mRlWJiQIdmhbmexKZhD1XnsE1ZB9zUQ/BQondHTohwaRFZDTzHA2s6gqdsM2uAg4NbSBYFbYioB24XkcCKsQovcdHqRAOTbqidqBQhxddYchGS76gBYysHYLvF4efQJV6APMKj82JfzfLmsFXCZCZzEsvCIvJ6BFUeh7Z2w093QeM51QsGz5p/jNDahwAA+olsZZQVIYo/J90v8s4pUBSq4kiozCNkGn3OdoAwIdMx0syYodxWfC52g1eWKVwXNanLE0wCRp4Jp5BL20zqFu8FyuDpGE67+dJpw9ShNODtGE86O0YSriSZcHa8JV8drwtXxmnB1vCZcHa8JV/ECumx1jCacSzTh7F014VyiCRGdB5WwRfuRUYsd4rQDaUUwDdQCrm2dTaxYV3Bt1FOT8tzUrcTsxiIqQNjgny2kCnoEKHLGCZwJ4wu63ONeqdO1r7ORqa6zK4quLRgpnkeZqeTw3qBAl4IOkNAxAIBYYsQnR0cMC6ox9pU++tXG0a+4seikIjvNM/lpmWXzrAwNw52GFd+Wk5C3H5iQsp/WL0GDQvyc7pNcemwOwU6Xnt+zbftGtj8w/dPzVTeuw7qF6EJU2VK26+5iOcoa4iWHqXLuHhRAK57yZs4HxUTrFs+aTQRVZR6rmTO6n9A2/xqj+IdcW380NIvDki6ZMl2zFtxZLDlEthhQql/H4IiTQmBzH5jD4NOOOFluyI7sLkA9n2DwtRJE+d90nFJf3bD7YwxxKMSsHBqDEA6IAnvc4VlyAUGCGx+zLiLpXGTtx3d5SpUxBnkp0t5FaD5XOxFHBf7qzMXdPbZQxlpb0ZYZblgNamKnF1kNrKuTlELXMsZRh0UAe1j7EIoKCFELLDmfxpRtK/4fmO1ia9iGhkIp2W40CKgGKeUj09eOuegJKCWFs7IeTERoxzVHb1UIkjl1M6OC7fF1XV+xrTfNSb7aI/FsncdGGwizuGY42tqhOkWXxKjNfFC3B7mtyCgt6eJwU4B2JHuh23vIyeB11gz+dTN4H2re5Qa2ht0HlqsiuYctkOHeH2T8LLinXrNvZPrqNSXXCDbTg4sDlQZgkU0WgYsZgbG5RfBlurw8Snla0uR6P+KhpCMXSRidVikTuSzGNVhYzqfDWlwnGfCXPJvULqiRHVwcYe9EjrbMPQuNlME5gFyftKIwp8sMWlhpW+dhGn1A5GiaST4XO7xGsi6SczDU0ruFlm6jy8Qg4gW1jccxlloJpkJTLilyeqareMc4p6vxXyqszB3hE5qeizvOMGoPo2oYtczZBjD267al+MfmH4eQ6wByuq6nCUE0PwEZg1VUj381fgoaHwvEPC/LMIL5tElkqUGWnWbZgywnzXKYlawLM3HRxaxGHywsmOQssT1LbJdERyrBtjKXMA1Ud+S2cIrmaI/0agLdjJEuLbmu+rpuvwkA1/Q0uBPCcNO1pzv463yo81kZFfFINvisP439LHqapWqcFVhy3yvml2uWKbniSnartkHnP7lutu8RjX3eZt6ByUxyx5odRWfO4DFvrkELQ1hS1XhUN056Jp4TsLhjj9KgWL14xgJ4faj0rNxLu9QycfEm2ht9QD9XdEkUVtjQTx4dfWjcvKVgcFXiH6iwOqanWvxoOKGlqvXd0Sd+DA0+GT8F3VKLuyjxRHceeMSfrygAZeRe2mXgQhYm4j9X1I7kr0f+lvGvEpfo2VAslSupmQkYhBUZVImeD6MWKE2PDkiFibvgfwoNdwdroQWj1e2xx6zQNyJNzPkuUPAZ7Kfrn5MLzt8MJ82S1gB1ec3L3O8+zbyb/STzMZIHUlCXyDOdsP4plvoAS+n6F6WUuQgPGr4cpPD+WzfkUlznzbxdzpuLS+gklyEFAsLiCyvVdgZP2vO/Z2cV9JyLx+vb0HcYYeEOXDmfHmq1DHVcyZj1ZZbGUxHlINfi1ExVQANDgXL1oMzy2CYqHr9w8l0VTKF58A8FIS2+0An2WFP7kJYmpeVznw+bnPjN8zJxWNhvQp+1EjoiZ2INiqkhVG5+xpRNiNT8YtAeEqlNhE/B3oH675Bk9ZRWRdKqhu2knILYPAWpUzzrMPKmeGw6SQJOEi8J4RLCelxNPDC9zMW7QmpWUmoW/E95qnTnuk/Vjzqy7mfFGJLlP7lOHjEB8IL92fQ84LIXlLhu4ymDvmXtYDOORFWWwSxomONzrsNdF/IVjdWzcvbCuXGBgRRhTdbeuQ5ZA6r9BUjVf+xNEuxbopQyXA5Ig3dWOEe65TmVKDT2Trr2s0seFoYwkOj48PZdBhmeRSnuGx02k0yrdPu0hMe+yI0iXxH8HE+v+P90enT2oalVZl45NaV+283kRaVQvQx9cuzB8dPu0Bim1wUkQYm3BVV1oZdYwm5QIt7FfaecqlZNNa6uhhVxEeHgHv6sDPTznwmroia0CT7UCWsj6qH2xWBiqB4mkos4dJvnCUAvrERjGqyZBmtpg7cp5clhg5O+dNt/7BnasElsatAJNGT00w+4OWy/6XdvKR4qd6AIEJvUU51ggrFm2nEnmKQlyLq8p4G1zM2WA1LBmKxgykTJgxbPJScftMjtyoO8daPSAg5vqaDCLVcJ+o1KtuKbEk7C99TpKuW1cL+kbe4OLdrTgxXGMSD4wWk36LtiQw93iFm64pRSJJhjlS7oAwV4IAcuRn8yAqUXVhLgYBtPFVnFzNxeWOt63DHQ+SqoJztGcTYT16s6TakMt61TWGWqPeY3qa8PYHvViLY2QS++adyqczdc4EHPQYhFqSf5M5pKWe2l6VnAcA5l6Vwzq+dN2RLfhUW64sxwWQnwSiqZFw59FWYoHse6VnIwnwkWdCNY1FPBElqaC5b1ieTyfzFY1UvB2hiT6FSwrk8FG3g20c5pWUzrehkWyAqE5CSWsVUQZi2Y4Mm7nDbdB9OH5u3fKn2KNi5dX6ppzjpz1pFTTHM2mLOBnFqas8mczfS8ucigmN4cJPcIyQUCl05YOhU5bVnWzSjg9XMrwqxOMjipVxnQAwHBmj5NiJw2ekIH+nhXXQehsEpvwrgH8hha8teWvw42vijFnS3dzLCPeiWsQWbxnOtgSNa5zkPK0se0NLKRNLIhjWxIIxvSSNHsEY+qr0399aT+utRfl/rrSf3c29UPTf1TSf1TUv+U1D+V1C8O6jt0jJP6Tlr/hG7zfniBwYJeZLColxgsYfZuFB5PDrTmaPnNEYFROG+sD0hfk9LXYV5HziKKLmwSEYhjRiDmjUDM3FUgZgGukghEKcV+mGA/QHYInmVNthZQzyagnsd4Z+6B2qKz2HHSJ3TeNaixoXtXoHbw+t2A2ul6PytQHyOoA5IxOAzqEvNKBtSOGC1F4y1RSvS1UcE89KSnLlhD/92AZ/8OO6eTGTrPYvVIjm7d1Md6jQWbOh/XgKUy/q6jWOk8GjAFzlIEojQBrd51z2NB0KWdQd5ecBq4pYtOIagA9S2gflm3gxXkrgqmq7K+nk4vkHjqkMPDRHAf8A2UAYUtQHAZ+FsB+LzAob04RmY29DpvJiL80ZHgGKIx5kzla7w1/IoK6fj4V0rfx4sVN5PLFxGaf3prTPOb8QPjymJz/UFFI0izfw9Fiio5KUqf+MlwKz118dB2ciYjUTWMHnkI9E4GrO8yvOpweHZyiJU+74XhTQyH5yTna+nzXhgeNYFow5zRhjmjDXPUho7cLTgcehXDHX2oUe+DuoTVXqfQNlHL1WtySoJdwnXU8hARh3pHPNGpUMr67bRea1Do7bXb8rDc22qxlWG5YnQXbTtcF6rUT1Wjn3wM/CSPalsMWvSqMyvCSa4Iq1Qqq4nWKujj4mXHgJrvOJVPm0FbL7Lg4kCVpdei1GBYQ0Y01EqqoVpGo92uoYJlo16gdBK/nIGiWT5C0UyQE0bRcEHttqIj9EuR+qVI/UJCQA39DPQL4P8bCvsM0WgSx6aSnzNIXGFZkQhZNB29V7XQcBITI5MoDCcBeA3nMRO9V9XVcB6TI/MojszDHZnHXPRe1WvhRjqPKZpLyTzKSVyJcWPilqynIvpUdMWjFV2Niq5GOT/JxVq3RNFNUNUdRLfpOueuii4x78rv0Iwrv0Nz7R0outyRim5CnP2g0RUN4FSnrVGnJXpO1Jd9zxK7Z4nds8TuWWI//5aYfc8Su2eJ3bPE7lliP5eWmO/7v+s61b664Y5cPmeO8lYa+IPYdOimP4ii05Lov6I4kMjnz4mTSJlVd3kHIzcv1Mo1BM7wcxBv9DNnesQaVxLahWVMbDKwdSPIiodZll4hujUGILLsJR5byfcIDtnriMsG7MJy4nfRNJ+zmwuuJhV5AzRt9lhxks6d4v5SEastK55iJLJN7wi2bJuWB94RTa12uh+7WKIfR7sXTGul2/TryMOCaUa9oCMMY2wGzbeleTQGzjCvOZyZno7Svqha+HX2IO0yPTNMe0w3h2kza+OnMZi1j/58/o5Ao2vcV8XlVGcEBB7taE9b9GCwUnwk965/4zp1YMEZwYJ9mx+iMh8EmTtXpnjR5ewGvC94y/Cd7mu8dXR35aauz4td1aMVX+HvA+hsL2KiihrZoasisJEBYC3jvebwlwoymIfXC1WkzZUkSXieHwQxAiqr6PwuGGOdo0lvvW9P3BkbWCKndN18RiCoaguqGhh+EVyaChSQUJafcyjHQJDuAFS26+UKxXK6xMUf5L2qInnpsV2l491091Xj1Ipm2rqY+DC2B84TAEQOQIjEzWmaL9DHFAapy2uW9aBFgc7JT0FQINSok2xbOwmUcqAUWs9JISInJ3fuvWBWYg5ic8nw2XQ4jUbbUdI+vzdAemaYtpmeHaYdpueiwXjyHI/DXyxIr/XRbFacyIippm4RH61Ef2BLY3SKTXeXxL8sgc4/OspPruqfoFdChXfw4E2Qw5M3rkEC94LcDpv7c5dk883nAOLRaN1vy7ffasl2+ceSTSDhjoAZOWTkD+RrFPEjMjcgYambvd79ibO7F/HHQcp8QYeYUvfWLWCTPkb+kngX+ZQIX66gMfMKlCZLhHKDcz2sRuCBL795UdsRPwU0Ub3ei0Kf5cggi2PIdjPX5Zc9wgqWEQ5AvmwqQuci8XiJrnysfb9MoHpgvn2SxQXj2wtA5qL2+RYDeYWqnliA/Xh9h1bkbsco1cg06z4uN9t5nUHfH6B+5uzzpntGc++jEuKUpIxrhoFeutxNlTvQDQmBTac5Fs359FXnt7DGESNXIb36+/4fZmy7b78+uHMn10SelbbWlc06zgshPda081XtfvUTYUZnXg8zjz78Ruh9AXPc05lH59/Q3huHXuyxwrgX92rcq/E6slEaIHtL7e8Qo4nvHFdArHD0gwuVKJo/Kbjqda+fu6FeFx1iFM6jRsm4VDTiEElXFuMHcnbwlv6G4mOpbeigUJR2PvlE0SiakGoiLBpRMcYczKv+PjZ0V5GNxE5YEvkL6bziX+hoiPKFsNiB0lGQR+79sFjtQKKtC+IJtWVbH6MHLSVel87t0RWQgsdPpylMmF3iIJPaFnL7zjEF5WTg1KWumevj474lk7U0+SzCp6Ml+rCDwjj/WLkR58e5ZV1Yx0JXjT+p4i+psJ6Y8mGJkxN/TJ2Jazwr45pRT8z7sCQfsyc2vpbCJRSrxDMqfj89YU3Jq/EMvxZgm4gqOrPGf6y4XMRPo0oj/oaC9VWPH0L5p8Ip4xvejIu3bvuPe4cmamJZqsUPsWi65VByTBjpqTs2Hv+g4u8rnnrQaVNPxg/ETzJPtpmpk7os8k9gAPLRGD16R1x2sca5XPrJKJsWc5FfABTNEjjBSkf4+bqgbJXvR12EWRYDimfBS/Ppg+3TD838qIjziECwjJXR58ooRM4MUZg5EoUF82Et4AgUZhIU0isjtAwKrR1+lnYHCjNDFMpPOjjJVyjDg9m7iMz/vcDwJ514QEzrQJeeoJ1lfKRDbF8LsoTxdzhkMXMpQ64PKrY4w7uIlpOK1m0T5KRS4+Q9Oa90IsmibWw1hzP1tHs/TA+PDeQQ5H/Bsfx/sZU34jnpsLEsWE9z4uXAOPvDmuMnJI7ZhUTAOC0zb2iZeWdL4nCeMXaPS+fNoWUmP1AWeiSB+bkNL6FTLqWTBwp4O2FeO1IIU8mBThjjhQ7egUo5Q6XcDuomVGLJPG0xYWRu8O0xCAAWZkZ5g0KY9EWx6z35FRTaZpmuc112oGpXfj+EtiNqCnXFRivI7qGI/ZOvST1P515CwVxvBzYUrUGwAjYbjTdf9lTY02XNZ2jqoixB/wt8D5DG";

// errors.js
class VaecodecError extends Error {
constructor(message) {
super(message);
this.name = new.target.kind;
}
static kind = "VaecodecError";
}
class FormatError extends VaecodecError {
static kind = "FormatError";
}
class BadMagic extends FormatError {
static kind = "BadMagic";
}
class UnsupportedVersion extends FormatError {
static kind = "UnsupportedVersion";
}
class Truncated extends FormatError {
static kind = "Truncated";
}
class ChecksumMismatch extends FormatError {
static kind = "ChecksumMismatch";
}
class LimitExceeded extends FormatError {
static kind = "LimitExceeded";
}
class CorruptStream extends FormatError {
static kind = "CorruptStream";
}
class WeightsError extends VaecodecError {
static kind = "WeightsError";
}
class UnknownModel extends WeightsError {
static kind = "UnknownModel";
}
class HashMismatch extends WeightsError {
static kind = "HashMismatch";
}
class BackendError extends VaecodecError {
static kind = "BackendError";
}
class CodingError extends VaecodecError {
static kind = "CodingError";
}
class InputError extends VaecodecError {
static kind = "InputError";
}
const KINDS = [
VaecodecError, FormatError, BadMagic, UnsupportedVersion, Truncated, ChecksumMismatch, LimitExceeded, CorruptStream,
WeightsError, UnknownModel, HashMismatch, BackendError, CodingError, InputError,
];
function packError(error) {
return { kind: error instanceof VaecodecError ? error.name : "BackendError", message: error.message ?? String(error) };
}
function unpackError({ kind, message }) {
const Kind = KINDS.find((candidate) => candidate.kind === kind) ?? VaecodecError;
return new Kind(message);
}

// base64.js
async function fromCompressed(text) {
const stream = new Blob([fromBase64(text)]).stream().pipeThrough(new DecompressionStream("deflate"));
return new Uint8Array(await new Response(stream).arrayBuffer());
}
function fromBase64(text) {
return Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
}

// container.js
const MODEL_VERSION = 1;
const LOSSLESS_VERSION = 2;
const MAX_HEADER_BYTES = 2582;
const Tag = { LATENTS: 1, OUTLIERS: 2, ALPHA: 3, LOSSLESS: 4, ICC: 16, EXIF: 17, XMP: 18 };
const MAGIC = [0x8f, 0x56, 0x41, 0x43];
const MODES = { 1: "RGB", 2: "L", 3: "RGBA", 4: "LA" };
const MAX_LEVEL = 63;
const MAX_SIDE = 65535;
const VARINT_MAX = 2 ** 32 - 1;
const VARINT_MAX_BYTES = 5;
const OPTIONAL_BIT = 0x80;
const MAX_METADATA = 16 * 2 ** 20;
const METADATA = [Tag.ICC, Tag.EXIF, Tag.XMP];
const CRC_TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
let value = byte;
for (let bit = 0; bit < 8; bit++) value = value & 1 ? 0xedb88320 ^ (value >>> 1) : value >>> 1;
return value >>> 0;
});
function crc32(bytes, crc = 0) {
let value = ~crc;
for (let i = 0; i < bytes.length; i++) value = CRC_TABLE[(value ^ bytes[i]) & 0xff] ^ (value >>> 8);
return ~value >>> 0;
}
class Reader {
constructor(bytes, offset = 0) {
this.bytes = bytes;
this.offset = offset;
}
take(count, field) {
const end = this.offset + count;
if (end > this.bytes.length) {
throw new Truncated(`${field}: needs bytes ${this.offset}..${end - 1}, the data have ${this.bytes.length}`);
}
const taken = this.bytes.subarray(this.offset, end);
this.offset = end;
return taken;
}
byte(field) {
return this.take(1, field)[0];
}
u32(field) {
const [a, b, c, d] = this.take(4, field);
return (a | (b << 8) | (c << 16) | (d << 24)) >>> 0;
}
varint(field) {
const start = this.offset;
let value = 0;
for (let index = 0; index < VARINT_MAX_BYTES; index++) {
if (start + index >= this.bytes.length) {
throw new Truncated(`${field}: the data end at byte ${this.bytes.length}, inside the number at byte ${start}`);
}
const byte = this.bytes[start + index];
value += (byte & 0x7f) * 2 ** (7 * index);
if (byte >= 0x80) continue;
if (value > VARINT_MAX) throw new FormatError(`${field} is ${value}; it must be 0..${VARINT_MAX}`);
if (byte === 0 && index > 0) {
throw new FormatError(`${field}: ${value} takes ${index + 1} bytes; only the shortest form is legal`);
}
this.offset = start + index + 1;
return value;
}
throw new FormatError(`${field}: the number at byte ${start} has more than ${VARINT_MAX_BYTES} bytes`);
}
}
function parseHeader(prefix, fileSize = null) {
checkStart(prefix);
const reader = new Reader(prefix, MAGIC.length);
const [version, flags] = reader.take(2, "flags");
const modelId = reader.varint("model id");
const fixed = reader.take(6, "model hash, level, mode");
const header = { version, flags, modelId, modelHash: hex(fixed.subarray(0, 4)), level: fixed[4], modeByte: fixed[5] };
header.width = reader.varint("width");
header.height = reader.varint("height");
const rows = parseTable(reader);
const computed = crc32(prefix.subarray(0, reader.offset));
const stored = reader.u32("header CRC");
if (stored !== computed) throw new ChecksumMismatch(`header CRC is ${computed}; the file states ${stored}`);
checkRanges(header);
header.mode = MODES[header.modeByte];
header.isLossless = version === LOSSLESS_VERSION;
header.hasAlpha = header.mode.endsWith("A");
header.isGray = header.mode.startsWith("L");
checkTable(header, rows);
return layOut(header, rows, reader.offset, fileSize);
}
function parse(data, maxPixels) {
const file = parseHeader(data, data.length);
const { width, height } = file;
if (width * height > maxPixels) {
throw new LimitExceeded(`image has ${width} x ${height} = ${width * height} pixels; the limit is ${maxPixels}`);
}
return file;
}
function readSection(data, file, tag) {
const section = file.sections.get(tag);
if (!section) return null;
const content = new Reader(data, section.offset).take(section.length, `section ${tagName(tag)}`);
const computed = crc32(content);
if (computed !== section.crc) {
throw new ChecksumMismatch(`section ${tagName(tag)} CRC is ${computed}; the header states ${section.crc}`);
}
return content;
}
function readAll(data, file) {
return new Map([...file.sections.keys()].map((tag) => [tag, readSection(data, file, tag)]));
}
function parseOutliers(content, symbols) {
const reader = new Reader(content);
const positions = [];
const values = [];
let position = -1;
while (reader.offset < content.length) {
position += reader.varint("outlier position") + 1;
const zigzag = reader.varint("outlier value");
if (position >= symbols) {
throw new CorruptStream(`outlier position is ${position}; it must be below the ${symbols} coded symbols`);
}
positions.push(position);
values.push(zigzag % 2 ? -(zigzag + 1) / 2 : zigzag / 2);
}
return { positions, values };
}
function checkStart(prefix) {
const start = prefix.subarray(0, MAGIC.length);
if (!start.length || start.some((byte, index) => byte !== MAGIC[index])) {
throw new BadMagic(`magic is ${hex(start) || "empty"}; a .vaec file starts with ${hex(MAGIC)}`);
}
const version = new Reader(prefix).take(MAGIC.length + 1, "version")[MAGIC.length];
if (version !== MODEL_VERSION && version !== LOSSLESS_VERSION) {
throw new UnsupportedVersion(`version is ${version}; this release reads ${MODEL_VERSION} and ${LOSSLESS_VERSION}`);
}
}
function parseTable(reader) {
const count = reader.byte("section count");
const rows = [];
for (let number = 0; number < count; number++) {
const tag = reader.byte(`tag of section ${number}`);
const length = reader.varint(`length of section ${number}`);
rows.push({ tag, length, crc: reader.u32(`CRC of section ${number}`) });
}
return rows;
}
function checkRanges(header) {
if (!(header.modeByte in MODES)) throw new FormatError(`mode is ${header.modeByte}; it must be 1..4`);
if (header.flags !== 0) throw new FormatError(`flags is ${header.flags}; it must be 0`);
if (header.version === LOSSLESS_VERSION) checkNoModel(header);
else checkModel(header);
for (const side of ["width", "height"]) {
if (header[side] < 1 || header[side] > MAX_SIDE) {
throw new LimitExceeded(`${side} is ${header[side]}; it must be 1..${MAX_SIDE}`);
}
}
}
function checkModel(header) {
if (header.modelId < 1) throw new FormatError(`model id is ${header.modelId}; it must be 1..${VARINT_MAX}`);
if (header.level > MAX_LEVEL) throw new LimitExceeded(`level is ${header.level}; it must be 0..${MAX_LEVEL}`);
}
function checkNoModel({ modelId, modelHash, level }) {
if (modelId !== 0 || modelHash !== "00000000" || level !== MAX_LEVEL) {
throw new FormatError(
`model id, model hash and level are ${modelId}, ${modelHash} and ${level}; they must be 0, 00000000 and ` +
`${MAX_LEVEL} in version ${LOSSLESS_VERSION}`,
);
}
}
function checkTable(header, rows) {
rows.forEach(({ tag, length }, number) => {
if (number && tag <= rows[number - 1].tag) {
throw new FormatError(`section tag ${tag} follows ${rows[number - 1].tag}; tags must ascend`);
}
if (!Object.values(Tag).includes(tag) && tag < OPTIONAL_BIT) throw new FormatError(`section tag ${tag} is not known`);
if (length < 1) throw new FormatError(`section ${tagName(tag)} has ${length} bytes; it must have 1 or more`);
if (METADATA.includes(tag) && length > MAX_METADATA) {
throw new LimitExceeded(`section ${tagName(tag)} has ${length} bytes; the limit is ${MAX_METADATA}`);
}
});
const present = new Set(rows.map(({ tag }) => tag));
const [needed, barred] = header.isLossless
? [[Tag.LOSSLESS], [Tag.LATENTS, Tag.OUTLIERS, Tag.ALPHA]]
: [[Tag.LATENTS, ...(header.hasAlpha ? [Tag.ALPHA] : [])], [Tag.LOSSLESS, ...(header.hasAlpha ? [] : [Tag.ALPHA])]];
const where = `in version ${header.version}, mode ${header.mode}`;
for (const tag of needed) if (!present.has(tag)) throw new FormatError(`section ${tagName(tag)} is missing ${where}`);
for (const tag of barred) if (present.has(tag)) throw new FormatError(`section ${tagName(tag)} is not legal ${where}`);
}
function layOut(header, rows, start, fileSize) {
const sections = new Map();
let offset = start;
for (const { tag, length, crc } of rows) {
if (Object.values(Tag).includes(tag)) sections.set(tag, { offset, length, crc });
offset += length;
}
if (fileSize !== null && fileSize < offset) {
throw new Truncated(`file has ${fileSize} bytes; header and sections have ${offset}`);
}
if (fileSize !== null && fileSize > offset) {
throw new FormatError(`file has ${fileSize} bytes; header and sections have ${offset}, nothing may follow`);
}
return { ...header, sections, size: offset };
}
function tagName(tag) {
return Object.keys(Tag).find((name) => Tag[name] === tag) ?? String(tag);
}
function hex(bytes) {
return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

// alpha.js
const FILTERS = { none: 0, sub: 1, up: 2 };
async function unpackAlpha(content, width, height) {
const kind = content[0];
if (!Object.values(FILTERS).includes(kind)) throw new CorruptStream(`alpha filter is ${kind}; it must be 0, 1 or 2`);
const alpha = await inflate(content.subarray(1), width * height);
if (kind === FILTERS.sub) undoSub(alpha, width);
if (kind === FILTERS.up) undoUp(alpha, width);
return alpha;
}
async function packAlpha(alpha, width) {
const distances = { [FILTERS.none]: 0, [FILTERS.sub]: 1, [FILTERS.up]: width };
let best = null;
for (const [kind, distance] of Object.entries(distances)) {
const isAtEdge = Number(kind) === FILTERS.sub ? (i) => i % width === 0 : (i) => i < distance;
const filtered = distance ? alpha.map((value, i) => (isAtEdge(i) ? value : value - alpha[i - distance])) : alpha;
const stream = new Blob([filtered]).stream().pipeThrough(new CompressionStream("deflate"));
const packed = new Uint8Array(await new Response(stream).arrayBuffer());
if (!best || packed.length + 1 < best.length) best = joinedBytes(Number(kind), packed);
}
return best;
}
function joinedBytes(first, rest) {
const bytes = new Uint8Array(1 + rest.length);
bytes[0] = first;
bytes.set(rest, 1);
return bytes;
}
async function inflate(data, size) {
const out = new Uint8Array(size);
const reader = new Blob([data]).stream().pipeThrough(new DecompressionStream("deflate")).getReader();
let count = 0;
for (;;) {
const { done, value } = await reader.read().catch((error) => {
const Kind = count < size ? Truncated : CorruptStream;
throw new Kind(`alpha: the zlib stream is damaged or cut after ${count} of ${size} bytes (${error.message})`);
});
if (done) break;
if (count + value.length > size) {
await reader.cancel();
throw new CorruptStream(`alpha: more than the ${size} bytes of the image`);
}
out.set(value, count);
count += value.length;
}
if (count !== size) throw new CorruptStream(`alpha: ${count} bytes; it must be ${size}`);
const stated = new Reader(data, data.length - 4).take(4).reduce((value, byte) => value * 256 + byte, 0);
if (stated !== adler32(out)) throw new CorruptStream("alpha: the section goes on behind its zlib stream");
return out;
}
function undoSub(alpha, width) {
for (let start = 0; start < alpha.length; start += width) {
for (let i = start + 1; i < start + width; i++) alpha[i] += alpha[i - 1];
}
}
function undoUp(alpha, width) {
for (let i = width; i < alpha.length; i++) alpha[i] += alpha[i - width];
}
function adler32(bytes) {
let [a, b] = [1, 0];
for (let i = 0; i < bytes.length; ) {
for (const end = Math.min(i + 3800, bytes.length); i < end; i++) {
a += bytes[i];
b += a;
}
a %= 65521;
b %= 65521;
}
return b * 65536 + a;
}

// weights.js
const TYPES = { F32: Float32Array, F16: Uint16Array, I32: Int32Array, I8: Int8Array, U16: Uint16Array, U8: Uint8Array };
const CARD_KEY = "vaecodec";
const MAX_HEADER = 2 ** 20;
function readWeights(bytes) {
const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
const length = bytes.length >= 8 ? Number(view.getBigUint64(0, true)) : -1;
if (length < 2 || length > MAX_HEADER || 8 + length > bytes.length) {
throw new WeightsError(`weights: ${bytes.length} bytes that state a header of ${length}; not a safetensors file`);
}
const { __metadata__: metadata, ...entries } = parseJson(new TextDecoder().decode(bytes.subarray(8, 8 + length)));
const tensors = new Map(
Object.entries(entries).map(([name, entry]) => [name, readTensor(name, entry, bytes, 8 + length)]),
);
return { tensors, card: parseJson(metadata?.[CARD_KEY] ?? "{}") };
}
function parseJson(text) {
try {
return JSON.parse(text);
} catch (error) {
throw new WeightsError(`weights: the header is not JSON (${error.message})`);
}
}
function readTensor(name, { dtype, shape, data_offsets: [start, end] = [] }, bytes, base) {
const Type = TYPES[dtype];
const isShape = Array.isArray(shape) && shape.every((side) => Number.isInteger(side) && side >= 0);
const count = isShape ? shape.reduce((product, side) => product * side, 1) : NaN;
const fits = Type && Number.isInteger(start) && start >= 0 && end - start === count * Type.BYTES_PER_ELEMENT;
if (!fits || base + end > bytes.length) {
throw new WeightsError(`weights: tensor ${name} is ${dtype} ${shape} at ${start}..${end} of ${bytes.length - base}`);
}
return { dtype, shape, data: new Type(bytes.buffer.slice(bytes.byteOffset + base + start, bytes.byteOffset + base + end)) };
}
function tensorOf(tensors, name, dtype, dimensions) {
const tensor = tensors.get(name);
if (!tensor) throw new WeightsError(`weights: there is no tensor ${name}`);
if (tensor.dtype !== dtype || tensor.shape.length !== dimensions) {
throw new WeightsError(`weights: ${name} is ${tensor.dtype} ${tensor.shape}; it must be ${dtype}, ${dimensions} sides`);
}
return tensor;
}

// kernel.js
const PAGE = 65536;
const ALIGNMENT = 16;
const MAX_BYTES = 2 ** 31;
class Kernel {
constructor(module) {
this.run = new WebAssembly.Instance(module).exports;
this.memory = this.run.memory;
this.top = aligned(this.run.__heap_base.value);
this.mark = this.top;
}
keep() {
this.mark = this.top;
}
release() {
this.top = this.mark;
}
allocate(bytes) {
const address = this.top;
this.top = aligned(address + bytes);
const missing = this.top - this.memory.buffer.byteLength;
if (missing > 0) {
try {
if (this.top > MAX_BYTES) throw new RangeError(`${this.top} of at most ${MAX_BYTES} bytes`);
this.memory.grow(Math.ceil(missing / PAGE));
} catch (error) {
throw new BackendError(`no memory left for this image (${error.message})`);
}
}
return address;
}
memoryCopy(to, from, bytes) {
new Uint8Array(this.memory.buffer).copyWithin(to, from, from + bytes);
}
floats(count) {
return this.allocate(4 * count);
}
place(values) {
const address = this.allocate(values.byteLength);
this.view(values.constructor, address, values.length).set(values);
return address;
}
view(Type, address, length) {
return new Type(this.memory.buffer, address, length);
}
}
function aligned(address) {
return Math.ceil(address / ALIGNMENT) * ALIGNMENT;
}

// entropy.js
const SCALE_INDICES = 64;
const LEVELS = 64;
const MAX_SYMBOLS = 4096;
const PROB_TOTAL = 65536;
const BUCKETS = 256;
const ACCUMULATOR_LIMIT = 2 ** 31;
const WEIGHT_MAX = 127;
const FORMATS = [
{ kernel: 3, shift: 3, most: 255, largestInput: 128, shuffled: false },
{ kernel: 1, shift: 8, most: 255, largestInput: 255, shuffled: true },
{ kernel: 3, shift: 8, most: 255, largestInput: 255, shuffled: false },
{ kernel: 1, shift: 10, most: 63, largestInput: 255, shuffled: true },
];
const GROWTH = 4;
const HALO = 2;
const TILE = 16;
const RANS_L = 65536;
const GROUP_LANES = 32;
const MAX_LANES_LOG2 = 13;
const R_LIMIT = 2 ** 20;
const Z_MIN = -128;
const Z_MAX = 127;
const MAX_BITS_PER_BYTE = 17;
class EntropyModel {
constructor(kernel, tensors) {
this.kernel = kernel;
this.layers = FORMATS.map((format, number) => readLayer(kernel, tensors, number, format));
this.y = readTables(tensors, "int.y");
this.z = readTables(tensors, "int.z");
this.zTable = tensorOf(tensors, "int.z_table", "U8", 2);
const [levels, channels] = this.zTable.shape;
this.N = channels;
this.M = this.layers[3].outputs / 4;
if (levels !== LEVELS || this.zTable.data.some((table) => table >= SCALE_INDICES)) {
throw new WeightsError(`weights: int.z_table is ${levels} x ${channels}; it must be ${LEVELS} rows of 0..63`);
}
const inputs = [this.N, this.layers[0].outputs, this.layers[1].outputs / 4, this.layers[2].outputs];
if (this.layers.some((layer, number) => layer.inputs !== inputs[number] || layer.inputs % 8)) {
throw new WeightsError(`weights: the layers of h_scale take ${this.layers.map((l) => l.inputs)}; not ${inputs}`);
}
this.y.address = placeTables(kernel, this.y);
this.z.address = placeTables(kernel, this.z);
}
leastZBits(level) {
return this.#zTables(level).reduce((bits, table) => bits + this.z.leastBits[table], 0);
}
#zTables(level) {
return Array.from(this.zTable.data.subarray(level * this.N, (level + 1) * this.N));
}
zIndex(level, plane) {
const address = this.kernel.allocate(this.N * plane);
const indices = this.kernel.view(Uint8Array, address, this.N * plane);
this.#zTables(level).forEach((table, c) => indices.fill(table, c * plane, (c + 1) * plane));
return address;
}
checkPaid({ level, zHeight, zWidth, payload }) {
if (payload[0] > MAX_LANES_LOG2) throw new CorruptStream(`lanes: log2 is ${payload[0]}; it must be 0..${MAX_LANES_LOG2}`);
const needed = (this.leastZBits(level) * zHeight * zWidth) / MAX_BITS_PER_BYTE;
if (needed > payload.length) {
throw new CorruptStream(`payload has ${payload.length} bytes; ${zHeight} x ${zWidth} positions take ${needed}`);
}
}
decode(stored) {
this.checkPaid(stored);
const { kernel } = this;
const plane = stored.zHeight * stored.zWidth;
const zCount = this.N * plane;
const yCount = this.M * GROWTH ** 2 * plane;
const listed = parseOutliers(stored.outliers, zCount + yCount);
checkMagnitudes(listed);
const split = listed.positions.findIndex((position) => position >= zCount);
const border = split < 0 ? listed.positions.length : split;
const zHat = kernel.allocate(4 * zCount);
const r = kernel.allocate(4 * yCount);
const start = kernel.top; // what follows is not needed any more afterwards
const stream = new Stream(kernel, stored.payload.subarray(1), 2 ** stored.payload[0]);
stream.decode(this.z.address, this.zIndex(stored.level, plane), zCount, false, outliersOf(listed, 0, border, 0), zHat);
checkZ(kernel.view(Int32Array, zHat, zCount));
const index = this.scaleIndex(zHat, stored);
const coded = stream.decode(this.y.address, index, yCount, true, outliersOf(listed, border, undefined, zCount), r);
stream.finish();
const last = listed.positions.at(-1);
if (last >= zCount + coded) throw new CorruptStream(`outlier at ${last}; there are ${zCount + coded} coded symbols`);
kernel.top = start;
return { zHat, r };
}
scaleIndex(zHat, { level, zHeight, zWidth }) {
const { kernel, N, M } = this;
const index = kernel.allocate(M * GROWTH ** 2 * zHeight * zWidth);
const start = kernel.top;
for (let top = 0; top < zHeight; top += TILE) {
for (let left = 0; left < zWidth; left += TILE) {
const [firstRow, firstColumn] = [Math.max(0, top - HALO), Math.max(0, left - HALO)];
const [bottom, right] = [Math.min(zHeight, top + TILE), Math.min(zWidth, left + TILE)];
const height = Math.min(zHeight, bottom + HALO) - firstRow;
const width = Math.min(zWidth, right + HALO) - firstColumn;
const tile = this.#runLayers(zHat + 4 * (firstRow * zWidth + firstColumn), level, height, width, zHeight, zWidth);
const step = GROWTH * width * M;
const corner = tile + 2 * (GROWTH * (top - firstRow) * step + GROWTH * (left - firstColumn) * M);
const [rows, columns] = [GROWTH * (bottom - top), GROWTH * (right - left)];
const at = index + GROWTH * top * GROWTH * zWidth + GROWTH * left;
const plane = GROWTH ** 2 * zHeight * zWidth;
kernel.run.scatter_index(corner, step, rows, columns, M, at, plane, GROWTH * zWidth);
kernel.top = start;
}
}
return index;
}
#runLayers(zHat, level, height, width, zHeight, zWidth) {
const { kernel } = this;
let [x, inner, step] = bordered(kernel, height, width, this.N, FORMATS[0].kernel);
kernel.run.gather_z(zHat, this.N, zHeight * zWidth, zWidth, height, width, inner, step);
this.layers.forEach((layer, number) => {
const growth = layer.shuffled ? 2 : 1;
const next = FORMATS[number + 1]?.kernel ?? 1;
const [out, outInner, outStep] = bordered(kernel, growth * height, growth * width, layer.outputs / growth ** 2, next);
kernel.run.integer_layer(
x, height, width, layer.inputs, layer.kernel, layer.weight, layer.bias + 4 * level * layer.outputs, layer.outputs,
layer.shift, layer.most, outInner, outStep, Number(layer.shuffled),
);
[x, height, width] = [out, growth * height, growth * width];
});
return x;
}
}
function bordered(kernel, height, width, channels, size) {
const radius = (size - 1) / 2;
const step = (width + 2 * radius) * channels;
const count = (height + 2 * radius) * step;
const address = kernel.allocate(2 * count);
kernel.view(Int16Array, address, count).fill(0);
return [address, address + 2 * radius * (step + channels), step];
}
function readLayer(kernel, tensors, number, format) {
const name = `int.h_scale.${number}`;
const weight = tensorOf(tensors, `${name}.weight`, "I8", 4);
const bias = tensorOf(tensors, `${name}.bias`, "I32", 2);
const [outputs, inputs, height, width] = weight.shape;
const { kernel: side, largestInput, shift } = format;
if (height !== side || width !== side || outputs % 4 || bias.shape[0] !== LEVELS || bias.shape[1] !== outputs) {
throw new WeightsError(`weights: ${name} is ${weight.shape}, bias ${bias.shape}; it must be [out, in, ${side}, ${side}]`);
}
const size = inputs * side ** 2;
for (let n = 0; n < outputs; n++) {
const row = weight.data.subarray(n * size, (n + 1) * size);
let worst = 0;
for (let l = 0; l < LEVELS; l++) worst = Math.max(worst, Math.abs(bias.data[l * outputs + n]));
worst += row.reduce((sum, value) => sum + Math.abs(value), 0) * largestInput + 2 ** (shift - 1);
if (worst >= ACCUMULATOR_LIMIT || row.some((value) => value < -WEIGHT_MAX)) {
throw new WeightsError(`weights: ${name}, output ${n}: an accumulator may reach ${worst}, or a weight is -128`);
}
}
const relaid = new Int16Array(weight.data.length);
for (let n = 0; n < outputs; n++) {
for (let c = 0; c < inputs; c++) {
for (let i = 0; i < side ** 2; i++) relaid[n * size + i * inputs + c] = weight.data[n * size + c * side ** 2 + i];
}
}
return { ...format, inputs, outputs, weight: kernel.place(relaid), bias: kernel.place(bias.data) };
}
function readTables(tensors, prefix) {
const sizes = tensorOf(tensors, `${prefix}.sizes`, "I32", 1).data;
const frequencies = tensorOf(tensors, `${prefix}.frequencies`, "U16", 1).data;
const total = sizes.reduce((sum, size) => sum + size, 0);
if (sizes.length !== SCALE_INDICES || total !== frequencies.length || sizes.some((s) => s < 1 || s > MAX_SYMBOLS)) {
throw new WeightsError(`weights: ${prefix} has ${sizes.length} tables of ${total} symbols, ${frequencies.length} given`);
}
const offsets = new Uint32Array(sizes.length + 1).fill(total);
const packed = new Uint32Array(total);
const buckets = new Uint16Array(sizes.length * BUCKETS);
const leastBits = [];
let at = 0;
sizes.forEach((size, table) => {
offsets[table] = at;
let [start, bucket, largest] = [0, 0, 0];
for (let symbol = 0; symbol < size; symbol++, at++) {
const frequency = frequencies[at] + 1;
packed[at] = (frequencies[at] << 16) | start;
start += frequency;
largest = Math.max(largest, frequency);
for (; bucket < BUCKETS && bucket * (PROB_TOTAL / BUCKETS) < start; bucket++) buckets[table * BUCKETS + bucket] = symbol;
}
if (start !== PROB_TOTAL) throw new WeightsError(`weights: ${prefix} table ${table}: frequencies sum to ${start}`);
leastBits.push(16 - Math.log2(largest));
});
return { offsets, packed, buckets, leastBits };
}
function placeTables(kernel, { offsets, packed, buckets }) {
return kernel.place(Uint32Array.of(kernel.place(offsets), kernel.place(packed), kernel.place(buckets)));
}
function checkMagnitudes({ positions, values }) {
const bad = values.findIndex((value) => Math.abs(value) >= R_LIMIT);
if (bad >= 0) throw new CorruptStream(`outlier ${values[bad]} at ${positions[bad]}; it must be below ${R_LIMIT}`);
}
function outliersOf({ positions, values }, from, to, before) {
return { positions: positions.slice(from, to).map((position) => position - before), values: values.slice(from, to) };
}
function checkZ(zHat) {
const bad = zHat.find((value) => value < Z_MIN || value > Z_MAX);
if (bad !== undefined) throw new CorruptStream(`z_hat reaches ${bad}; it must be ${Z_MIN}..${Z_MAX}`);
}
class Stream {
constructor(kernel, payload, lanes) {
this.kernel = kernel;
this.lanes = lanes;
this.groups = Math.max(1, lanes / GROUP_LANES);
const { states, words, bounds } = unpackPayload(payload, lanes, this.groups);
this.states = kernel.place(states);
this.next = kernel.place(bounds.slice(0, -1));
this.ends = kernel.place(bounds.slice(1));
this.address = kernel.place(Uint32Array.of(this.states, lanes, this.next, this.ends, kernel.place(words)));
}
decode(tables, index, count, skip, { positions, values }, out) {
const { kernel } = this;
const listed = [kernel.place(Uint32Array.from(positions)), kernel.place(Int32Array.from(values)), positions.length];
const outliers = kernel.place(Uint32Array.from(listed));
const coded = kernel.run.decode_segment(this.address, tables, index, count, Number(skip), outliers, out);
if (coded < 0) throw new Truncated(`rANS group ${-1 - coded}: the words end in the middle of the symbols`);
return coded;
}
finish() {
const [next, ends] = [this.next, this.ends].map((at) => this.kernel.view(Uint32Array, at, this.groups));
const group = next.findIndex((place, number) => place !== ends[number]);
if (group >= 0) throw new CorruptStream(`rANS group ${group}: ${ends[group] - next[group]} words are left over`);
const states = this.kernel.view(Uint32Array, this.states, this.lanes);
const lane = states.findIndex((state) => state !== RANS_L);
if (lane >= 0) throw new CorruptStream(`rANS lane ${lane} ends in state ${states[lane]}; it must be ${RANS_L}`);
}
}
function unpackPayload(payload, lanes, groups) {
const fixed = 4 * (groups - 1) + 4 * lanes;
if (payload.length < fixed || (payload.length - fixed) % 2) {
throw new Truncated(`payload of ${payload.length} bytes for ${lanes} lanes; it must be ${fixed} and a multiple of 2 more`);
}
const view = new DataView(payload.buffer, payload.byteOffset, payload.byteLength);
const total = (payload.length - fixed) / 2;
const bounds = new Uint32Array(groups + 1);
let claimed = 0;
for (let group = 0; group < groups - 1; group++) {
claimed += view.getUint32(4 * group, true);
if (claimed > total) throw new Truncated(`payload: groups claim ${claimed} words; the data holds ${total}`);
bounds[group + 1] = claimed;
}
bounds[groups] = total;
const states = new Uint32Array(lanes);
const words = new Uint16Array(total);
let at = 4 * (groups - 1);
for (let group = 0, lane = 0; group < groups; group++) {
for (const end = lane + lanes / groups; lane < end; lane++, at += 4) states[lane] = view.getUint32(at, true);
for (let word = bounds[group]; word < bounds[group + 1]; word++, at += 2) words[word] = view.getUint16(at, true);
}
const low = states.findIndex((state) => state < RANS_L);
if (low >= 0) throw new CorruptStream(`rANS lane ${low} starts in state ${states[low]}; it must be ${RANS_L} or more`);
return { states, words, bounds };
}

// layers.js
const BOUNDS = { stream: 64, product: 256, latent: 128, prior: 64 };
const PANEL = 8;
const BLOCK_BYTES = 56;
function range(count) {
return Array.from({ length: count }, (_, number) => number);
}
class Layers {
constructor(kernel, tensors) {
Object.assign(this, { kernel, tensors });
}
has(name) {
return this.tensors.has(name);
}
floats(name, dimensions) {
const { kernel } = this;
const tensor = tensorOf(this.tensors, name, "F16", dimensions);
const start = kernel.top;
const halves = kernel.place(tensor.data);
const out = kernel.floats(tensor.data.length);
kernel.run.expand_halves(halves, out, tensor.data.length);
const values = kernel.view(Float32Array, out, tensor.data.length).slice();
kernel.top = start;
return { values, shape: tensor.shape };
}
panels(weight, outputs, inputs, order = range(outputs)) {
const { kernel } = this;
const panels = kernel.floats(Math.ceil(outputs / PANEL) * PANEL * inputs);
const start = kernel.top;
kernel.run.pack(kernel.place(weight), kernel.place(Int32Array.from(order)), panels, outputs, inputs);
kernel.top = start;
return panels;
}
read(name) {
const { values, shape: [outputs, inputs, height, width] } = this.floats(`net.${name}.weight`, 4);
const { values: bias } = this.floats(`net.${name}.bias`, 1);
if (height !== 1 || width !== 1 || outputs % 4 || inputs % 4 || bias.length !== outputs) {
throw new WeightsError(`weights: net.${name} is ${outputs} x ${inputs} x ${height} x ${width}, bias ${bias.length}`);
}
return { values, bias, outputs, inputs };
}
conv(name, inputs, outputs) {
const conv = this.read(name);
if ((inputs && conv.inputs !== inputs) || (outputs && conv.outputs !== outputs)) {
throw new WeightsError(`weights: net.${name} is ${conv.outputs} x ${conv.inputs}; it must be ${outputs} x ${inputs}`);
}
return this.placed(conv);
}
placed({ values, bias, outputs, inputs }) {
return { panels: this.panels(values, outputs, inputs), bias: this.kernel.place(bias), inputs, outputs };
}
columns({ values, outputs, inputs }, from, to) {
const cut = new Float32Array(outputs * (to - from));
for (let n = 0; n < outputs; n++) cut.set(values.subarray(n * inputs + from, n * inputs + to), n * (to - from));
return { panels: this.panels(cut, outputs, to - from), bias: 0, inputs: to - from, outputs };
}
up(name) {
const conv = this.read(name);
const channels = conv.outputs / 4;
if (channels % 4) throw new WeightsError(`weights: net.${name} has ${conv.outputs} outputs; 16 must divide them`);
const rows = [0, 1].map((i) => {
const order = [0, 1].flatMap((j) => range(channels).map((c) => 4 * c + 2 * i + j));
const panels = this.panels(conv.values, order.length, conv.inputs, order);
return { panels, bias: this.kernel.place(Float32Array.from(order, (n) => conv.bias[n])) };
});
return { channels, inputs: conv.inputs, rows };
}
down(name, channels, outputs) {
const conv = this.read(name);
if (conv.inputs !== 4 * channels || conv.outputs !== outputs) {
throw new WeightsError(`weights: net.${name} is ${conv.outputs} x ${conv.inputs}; it must be ${outputs} x ${4 * channels}`);
}
const size = 2 * channels;
const rows = [0, 1].map((i) => {
const cut = new Float32Array(outputs * size);
for (let n = 0; n < outputs; n++) {
for (let k = 0; k < size; k++) {
const [j, c] = k < channels ? [0, k] : [1, k - channels];
cut[n * size + k] = conv.values[n * conv.inputs + 4 * c + 2 * i + j];
}
}
return { panels: this.panels(cut, outputs, size), bias: i ? 0 : this.kernel.place(conv.bias), inputs: size, outputs };
});
return { channels, outputs, rows };
}
blocks(name) {
const blocks = [];
while (this.has(`net.${name}.${blocks.length}.conv_in.weight`)) blocks.push(this.block(`${name}.${blocks.length}`));
return blocks;
}
block(name) {
const { kernel } = this;
const entry = this.conv(`${name}.conv_in`);
const channels = entry.inputs;
const out = this.conv(`${name}.conv_out`, channels, channels);
const ffnOut = this.conv(`${name}.ffn_out`, 0, channels);
const ffnIn = this.conv(`${name}.ffn_in`, channels, 2 * ffnOut.inputs);
const { values, shape } = this.floats(`net.${name}.depthwise.weight`, 4);
const { values: bias } = this.floats(`net.${name}.depthwise.bias`, 1);
if (entry.outputs !== channels || String(shape) !== String([channels, 1, 3, 3]) || bias.length !== channels) {
throw new WeightsError(`weights: net.${name} has ${channels} channels, depthwise ${shape}`);
}
const depthwise = kernel.place(Float32Array.from(values, (_, i) => values[(i % channels) * 9 + Math.floor(i / channels)]));
const address = kernel.allocate(BLOCK_BYTES);
kernel.view(Int32Array, address, 2).set([channels, ffnOut.inputs]);
kernel.view(Float32Array, address + 8, 2).set([BOUNDS.stream, BOUNDS.product]);
const parts = [entry.panels, entry.bias, depthwise, kernel.place(bias), out.panels, out.bias];
kernel.view(Int32Array, address + 16, 10).set([...parts, ffnIn.panels, ffnIn.bias, ffnOut.panels, ffnOut.bias]);
return { address, channels, hidden: ffnOut.inputs };
}
levelTable(name, channels) {
const table = tensorOf(this.tensors, `net.${name}.anchors`, "F32", 2);
if (table.shape[1] !== channels || table.shape[0] < 2) {
throw new WeightsError(`weights: net.${name}.anchors is ${table.shape}; it must have ${channels} channels`);
}
return new LevelTable(table);
}
}
class LevelTable {
constructor({ data, shape }) {
Object.assign(this, { data, shape });
}
at(level) {
const [anchors, channels] = this.shape;
const position = (level / MAX_LEVEL) * (anchors - 1);
const low = Math.min(Math.floor(position), anchors - 2);
const part = Math.fround(position - low);
return Float32Array.from({ length: channels }, (_, c) => {
const [below, above] = [this.data[low * channels + c], this.data[(low + 1) * channels + c]];
return Math.exp(Math.fround(below + part * (above - below)));
});
}
}

// rows.js
const CHUNK = 48;
const BAND = 256;
function bandRows(width) {
return Math.max(1, Math.ceil(BAND / width));
}
class Chain {
constructor(stages) {
this.stages = stages;
}
push(address, rows, last) {
return this.stages.reduce((out, stage) => stage.push(out.address, out.rows, last), { address, rows });
}
}
class UpRows {
constructor(kernel, up, width, mostRows) {
Object.assign(this, { kernel, up, width });
this.out = kernel.floats(4 * mostRows * width * up.channels);
}
push(address, rows) {
const { kernel, up, width, out } = this;
const length = 2 * up.channels;
for (let row = 0; row < rows; row++) {
up.rows.forEach(({ panels, bias }, i) => {
const [x, to] = [address + 4 * row * width * up.inputs, out + 4 * (2 * row + i) * width * length];
kernel.run.convolve(x, up.inputs, width, panels, bias, up.inputs, length, to, length, 0);
});
}
return { address: out, rows: 2 * rows };
}
}
class DownRows {
constructor(kernel, down, width, mostRows) {
Object.assign(this, { kernel, down, width });
this.length = 4 * width * down.channels; // bytes of a row
this.waiting = kernel.allocate(this.length);
this.isWaiting = false;
this.out = kernel.floats(Math.ceil(mostRows / 2) * (width / 2) * down.outputs);
}
push(address, rows) {
const { kernel, down: { outputs, rows: halves }, width, length, out } = this;
const addresses = [...(this.isWaiting ? [this.waiting] : []), ...Array.from({ length: rows }, (_, i) => address + i * length)];
const count = Math.floor(addresses.length / 2);
for (let row = 0; row < count; row++) {
halves.forEach(({ panels, bias, inputs }, i) => {
const to = out + 4 * row * (width / 2) * outputs;
kernel.run.convolve(addresses[2 * row + i], inputs, width / 2, panels, bias, inputs, outputs, to, outputs, i);
});
}
this.isWaiting = addresses.length % 2 > 0;
if (this.isWaiting) kernel.memoryCopy(this.waiting, addresses.at(-1), length);
return { address: out, rows: count };
}
}
class SingleRows {
constructor(kernel, conv, width, mostRows) {
Object.assign(this, { kernel, conv, width });
this.out = kernel.floats(mostRows * width * conv.outputs);
}
push(address, rows) {
const { kernel, conv: { panels, bias, inputs, outputs }, width, out } = this;
kernel.run.convolve(address, inputs, rows * width, panels, bias, inputs, outputs, out, outputs, 0);
return { address: out, rows };
}
}
class BlockRows {
constructor(kernel, block, width, mostRows) {
Object.assign(this, { kernel, block });
this.width = width;
this.length = 4 * width * block.channels; // bytes of a row
this.x = kernel.allocate((mostRows + 1) * this.length);
this.entered = kernel.allocate((mostRows + 3) * this.length);
this.scratch = kernel.floats(width * block.channels + CHUNK * 3 * block.hidden);
[this.xRows, this.enteredRows, this.used] = [0, 1, 0]; // above the image are zeros
this.#clear(0);
}
#clear(row) {
this.kernel.view(Uint8Array, this.entered + row * this.length, this.length).fill(0);
}
#shift() {
const { kernel, length, used } = this;
kernel.memoryCopy(this.x, this.x + used * length, (this.xRows - used) * length);
kernel.memoryCopy(this.entered, this.entered + used * length, (this.enteredRows - used) * length);
this.xRows -= used;
this.enteredRows -= used;
}
push(address, rows, last) {
const { kernel, block, length } = this;
this.#shift();
kernel.memoryCopy(this.x + this.xRows * length, address, rows * length);
kernel.run.block_enter(block.address, address, rows * this.width, this.entered + this.enteredRows * length);
this.xRows += rows;
this.enteredRows += rows;
if (last) this.#clear(this.enteredRows++);
this.used = Math.max(0, this.enteredRows - 2);
for (let row = 0; row < this.used; row++) {
const above = this.entered + row * length;
const x = this.x + row * length;
kernel.run.block_leave(block.address, x, above, above + length, above + 2 * length, this.width, this.scratch);
}
return { address: this.x, rows: this.used };
}
}

// networks.js
const STEPS = 4;
const POSITIONS = [[0, 0], [1, 1], [0, 1], [1, 0]];
const PATCH = 8;
const PREVIEW_SIDE = 2;
const FLAG_GRAY = 1;
class Networks {
constructor(kernel, tensors, { N, M }) {
this.kernel = kernel;
[this.N, this.M] = [N, M];
const layers = new Layers(kernel, tensors);
this.hMean = [layers.up("h_mean.0.0"), layers.block("h_mean.1"), layers.up("h_mean.2.0"), layers.block("h_mean.3")];
this.P = this.hMean[3].channels;
this.adaptors = range(STEPS - 1).map((step) => this.#adaptor(layers, `context.adaptors.${step}`));
this.trunk = layers.blocks("context.trunk");
this.heads = range(STEPS).map((step) => this.#quarters(layers, `context.heads.${step}`));
this.up = layers.up("g_s.up.0");
this.blocks = layers.blocks("g_s.blocks");
this.C = this.up.channels;
this.head = layers.conv("g_s.head", this.C, 3 * PATCH ** 2);
this.preview = layers.has("preview.weight") ? this.#previewHead(layers) : null;
this.#checkWidths();
this.gain = layers.levelTable("log_gain", M);
this.zGain = layers.levelTable("log_z_gain", N);
this.qPrior = layers.levelTable("log_q_prior", this.P);
this.qDec = layers.levelTable("log_q_dec", this.C);
}
reconstruct({ zHat, r }, shape, advance) {
return this.#runSteps({ zHat, r }, shape, advance);
}
quantize({ zHat, y, index }, shape, advance) {
const { kernel, M } = this;
const r = kernel.allocate(4 * 16 * shape.zHeight * shape.zWidth * M);
const start = kernel.top;
const encoder = { y, index, bad: 0 };
this.#runSteps({ zHat, r, encoder }, shape, advance);
kernel.top = start;
if (encoder.bad) throw new CodingError(`r: ${encoder.bad} values are 2^20 or more, or no numbers: the networks cannot code this image`);
return r;
}
#runSteps({ zHat, r, encoder = null }, { level, zHeight, zWidth }, advance = () => {}) {
const { kernel, M, P } = this;
const [height, width] = [4 * zHeight, 4 * zWidth];
const yHat = kernel.floats(height * width * M);
kernel.view(Float32Array, yHat, height * width * M).fill(0);
const start = kernel.top;
const p = kernel.floats(height * width * P);
this.#prior(zHat, level, zHeight, zWidth, p);
const gain = kernel.place(this.gain.at(level));
const inside = kernel.top;
for (let step = 0; step < STEPS; step++) {
this.#contextStep(step, { p, yHat, r, encoder, gain, height, width });
kernel.top = inside;
advance((step + 1) / STEPS);
}
kernel.top = start;
return yHat;
}
#prior(zHat, level, zHeight, zWidth, p) {
const { kernel, N, P } = this;
const [gain, scale] = [this.zGain, this.qPrior].map((table) => kernel.place(table.at(level)));
const band = bandRows(zWidth);
const rows = kernel.floats(band * zWidth * N);
const [first, firstBlock, second, secondBlock] = this.hMean;
const chain = new Chain([
new UpRows(kernel, first, zWidth, band),
new BlockRows(kernel, firstBlock, 2 * zWidth, 2 * band),
new UpRows(kernel, second, 2 * zWidth, 2 * band + 1),
new BlockRows(kernel, secondBlock, 4 * zWidth, 4 * band + 2),
]);
let done = 0;
for (let top = 0; top < zHeight; top += band) {
const count = Math.min(band, zHeight - top);
kernel.run.divide_rows(zHat, zHeight * zWidth, top * zWidth, count * zWidth, N, gain, rows);
const out = chain.push(rows, count, top + count === zHeight);
const positions = out.rows * 4 * zWidth;
kernel.run.scale(out.address, positions, P, scale, BOUNDS.prior);
kernel.memoryCopy(p + 4 * done * P, out.address, 4 * positions * P);
done += positions;
}
}
#contextStep(step, { p, ...image }) {
const { kernel, M, P } = this;
const { yHat, height, width } = image;
const band = bandRows(width);
const known = kernel.floats(band * width * P);
const mu = kernel.floats((width / 2) * (M / STEPS));
const chain = new Chain(step ? this.trunk.map((block, n) => new BlockRows(kernel, block, width, band + n)) : []);
let row = 0;
for (let top = 0; top < height; top += band) {
const count = Math.min(band, height - top);
let out = { address: p + 4 * top * width * P, rows: count };
if (step) {
const { ofPrior, ofLatents } = this.adaptors[step - 1];
this.#convolve(ofPrior, out.address, count * width, known);
this.#convolve(ofLatents, yHat + 4 * top * width * M, count * width, known, true);
out = chain.push(known, count, top + count === height);
}
for (let i = 0; i < out.rows; i++, row++) {
this.#codeRow(step, row, out.address + 4 * i * width * P, { ...image, mu });
}
}
}
#codeRow(step, row, features, { mu, yHat, r, encoder, gain, height, width }) {
const { kernel, M, P } = this;
const [size, plane] = [M / STEPS, height * width];
for (let quarter = 0; quarter < STEPS; quarter++) {
const [rowOffset, column] = POSITIONS[(step + quarter) % STEPS];
if (row % 2 !== rowOffset) continue;
const { panels, bias } = this.heads[step][quarter];
kernel.run.convolve(features + 4 * column * P, 2 * P, width / 2, panels, bias, P, size, mu, size, 0);
const first = quarter * size;
const inRows = 4 * ((row * width + column) * M + first);
const inPlanes = first * plane + row * width + column;
const means = [mu, width / 2, size, BOUNDS.latent];
const gains = gain + 4 * first;
if (encoder) {
const { y, index } = encoder;
encoder.bad += kernel.run.quantize(...means, y + inRows, M, index + inPlanes, plane, gains, r + 4 * inPlanes);
}
kernel.run.dequantize(...means, r + 4 * inPlanes, plane, gains, yHat + inRows, M);
}
}
synthesize(yHat, { level, zHeight, zWidth }, image, show) {
const { kernel, M, C } = this;
const [height, width] = [4 * zHeight, 4 * zWidth];
const start = kernel.top;
const band = bandRows(4 * width);
const scale = kernel.place(this.qDec.at(level));
const up = new UpRows(kernel, this.up, width, band);
const blocks = new Chain(this.blocks.map((block, n) => new BlockRows(kernel, block, 2 * width, 2 * band + n)));
const painter = new Painter(kernel, image, PATCH, 2 * width);
const shades = kernel.floats(2 * width * 3 * PATCH ** 2);
for (let top = 0; top < height; top += band) {
const count = Math.min(band, height - top);
const entered = up.push(yHat + 4 * top * width * M, count);
kernel.run.scale(entered.address, entered.rows * 2 * width, C, scale, Infinity);
const out = blocks.push(entered.address, entered.rows, top + count === height);
for (let i = 0; i < out.rows && painter.top < image.height; i++) {
this.#convolve(this.head, out.address + 4 * i * 2 * width * C, 2 * width, shades);
painter.paint(shades, show);
}
}
kernel.top = start;
}
synthesizePreview(yHat, { zHeight, zWidth }, image, show) {
const { kernel, M } = this;
const [height, width] = [4 * zHeight, 4 * zWidth];
const start = kernel.top;
const outputs = 3 * PREVIEW_SIDE ** 2;
const shades = kernel.floats(width * outputs);
const painter = new Painter(kernel, image, PREVIEW_SIDE, width);
for (let row = 0; row < height && painter.top < image.height; row++) {
this.preview.forEach(({ dy, dx, panels, bias }, number) => {
const [from, to] = [Math.max(0, -dx), Math.min(width, width - dx)];
if (row + dy < 0 || row + dy >= height || from >= to) return;
const x = yHat + 4 * ((row + dy) * width + from + dx) * M;
const out = shades + 4 * from * outputs;
kernel.run.convolve(x, M, to - from, panels, bias, M, outputs, out, outputs, Number(number > 0));
});
painter.paint(shades, show);
}
kernel.top = start;
}
#convolve({ panels, bias, inputs, outputs }, x, positions, out, onto = false) {
this.kernel.run.convolve(x, inputs, positions, panels, bias, inputs, outputs, out, outputs, Number(onto));
}
#quarters(layers, name) {
const conv = layers.read(name);
if (conv.inputs !== this.P || conv.outputs !== this.M || this.M % 16) {
throw new WeightsError(`weights: net.${name} is ${conv.outputs} x ${conv.inputs}; it must be ${this.M} x ${this.P}`);
}
const size = conv.outputs / STEPS;
return range(STEPS).map((quarter) =>
layers.placed({
values: conv.values.slice(quarter * size * conv.inputs, (quarter + 1) * size * conv.inputs),
bias: conv.bias.slice(quarter * size, (quarter + 1) * size),
inputs: conv.inputs,
outputs: size,
}),
);
}
#adaptor(layers, name) {
const conv = layers.read(name);
const { P, M } = this;
if (conv.inputs !== P + M || conv.outputs !== P) throw new WeightsError(`weights: net.${name} is ${conv.outputs} x ${conv.inputs}`);
const ofPrior = { ...layers.columns(conv, 0, P), bias: this.kernel.place(conv.bias) };
return { ofPrior, ofLatents: layers.columns(conv, P, P + M) };
}
#previewHead(layers) {
const { values, shape } = layers.floats("preview.weight", 4);
const { values: bias } = layers.floats("preview.bias", 1);
const outputs = 3 * PREVIEW_SIDE ** 2;
if (String(shape) !== String([outputs, this.M, 3, 3]) || bias.length !== outputs) {
throw new WeightsError(`weights: preview.weight is ${shape}; it must be ${[outputs, this.M, 3, 3]}`);
}
const places = [4, 0, 1, 2, 3, 5, 6, 7, 8];
return places.map((place) => {
const weight = Float32Array.from({ length: outputs * this.M }, (_, i) => values[i * 9 + place]);
const panels = layers.panels(weight, outputs, this.M);
const [dy, dx] = [Math.floor(place / 3) - 1, (place % 3) - 1];
return { dy, dx, panels, bias: place === 4 ? this.kernel.place(bias) : 0 };
});
}
#checkWidths() {
const { N, M, P, C } = this;
const [first, block, second] = this.hMean;
const widths = [first.inputs, first.channels, block.channels, second.inputs, second.channels, this.up.inputs];
const same = this.trunk.every(({ channels }) => channels === P) && this.blocks.every(({ channels }) => channels === C);
if (String(widths) !== String([N, P, P, P, P, M]) || !same) {
throw new WeightsError(`weights: channels ${widths} do not fit N ${N}, M ${M}, P ${P}, C ${C}`);
}
}
}
class Painter {
constructor(kernel, image, side, positions) {
Object.assign(this, { kernel, image, side });
this.top = 0;
this.width = Math.min(image.width, side * positions);
this.rgba = kernel.allocate(4 * side * this.width);
this.alpha = image.alpha ? kernel.allocate(side * this.width) : 0;
}
paint(shades, show) {
const { kernel, image, side, width, top } = this;
const rows = Math.min(side, image.height - top);
if (image.alpha) {
kernel.view(Uint8Array, this.alpha, rows * width).set(image.alpha.subarray(top * width, (top + rows) * width));
}
kernel.run.to_rgba(shades, side, width, rows, this.alpha, image.isGray ? FLAG_GRAY : 0, this.rgba);
this.top += rows;
show(top, rows, kernel.view(Uint8ClampedArray, this.rgba, 4 * rows * width).slice());
}
}

// lossless.js
const WEBP = 1;
const MIN_TILE = 256;
const MAX_TILE = 16383;
const HEAD_BYTES = 25;
const SIGNATURE = 0x2f;
async function decodeTiles(file, content, sink) {
const tiles = parseTiles(content, file);
sink.start();
while (tiles.length) {
const { top, height } = tiles[0];
const row = tiles.splice(0, tiles.filter((tile) => tile.top === top).length);
const rgba = new Uint8ClampedArray(4 * file.width * height);
for (const tile of row) {
const pixels = await decodeTile(tile);
for (let i = 0; i < height; i++) {
const line = pixels.subarray(4 * i * tile.width, 4 * (i + 1) * tile.width);
rgba.set(line, 4 * (i * file.width + tile.left));
}
}
if (file.isGray) toGray(rgba);
sink.rows?.(top, height, rgba);
sink.progress?.((top + height) / file.height);
}
}
function parseTiles(content, { width, height, mode, hasAlpha }) {
const reader = new Reader(content);
const codec = reader.byte("lossless codec");
if (codec !== WEBP) throw new CorruptStream(`lossless codec is ${codec}; it must be ${WEBP} (WebP)`);
const [tileWidth, tileHeight] = [["tile width", width], ["tile height", height]].map(([field, whole]) => {
const side = reader.varint(field);
const [least, most] = [Math.min(MIN_TILE, whole), Math.min(MAX_TILE, whole)];
if (side < least || side > most) throw new CorruptStream(`${field} is ${side}; it must be ${least}..${most}`);
return side;
});
const tiles = [];
for (let top = 0; top < height; top += tileHeight) {
for (let left = 0; left < width; left += tileWidth) {
const name = `tile at ${left}, ${top}`;
const webp = reader.take(reader.varint(`length of the ${name}`), name);
const tile = { left, top, width: Math.min(tileWidth, width - left), height: Math.min(tileHeight, height - top), webp };
checkWebp(tile, name, mode, hasAlpha);
tiles.push(tile);
}
}
if (reader.offset !== content.length) {
throw new CorruptStream(`section LOSSLESS has ${content.length} bytes; its tiles end at ${reader.offset}`);
}
return tiles;
}
function checkWebp({ webp, width, height }, name, mode, hasAlpha) {
if (webp.length < HEAD_BYTES) {
throw new Truncated(`${name}: ${webp.length} bytes; a lossless WebP file has ${HEAD_BYTES} or more`);
}
const view = new DataView(webp.buffer, webp.byteOffset, webp.byteLength);
const text = (at) => String.fromCharCode(...webp.subarray(at, at + 4));
if (text(0) !== "RIFF" || text(8) !== "WEBP" || text(12) !== "VP8L" || webp[20] !== SIGNATURE) {
throw new CorruptStream(`${name}: it must be a lossless WebP image and nothing else`);
}
const [riff, chunk, bits] = [4, 16, 21].map((at) => view.getUint32(at, true));
if (riff !== webp.length - 8 || chunk + (chunk % 2) !== webp.length - 20) {
throw new CorruptStream(`${name}: has ${webp.length} bytes, but states ${riff} and ${chunk}`);
}
const [w, h, alpha, version] = [(bits & 0x3fff) + 1, ((bits >>> 14) & 0x3fff) + 1, (bits >>> 28) & 1, bits >>> 29];
if (w !== width || h !== height) throw new CorruptStream(`${name}: the WebP file is ${w} x ${h}; it must be ${width} x ${height}`);
if (version !== 0 || (alpha && !hasAlpha)) {
throw new CorruptStream(`${name}: alpha is ${alpha} in mode ${mode}, WebP version ${version}; it must be 0`);
}
}
async function decodeTile({ webp, width, height }) {
const pixels = globalThis.ImageDecoder ? await decodeFrame(webp, width, height) : null;
return pixels ?? decodeOnCanvas(webp, width, height);
}
async function decodeFrame(webp, width, height) {
const options = { data: webp.slice(), type: "image/webp", colorSpaceConversion: "none", premultiplyAlpha: "none" };
const decoder = new ImageDecoder(options);
try {
const { image } = await decoder.decode({ completeFramesOnly: true });
const pixels = new Uint8ClampedArray(4 * width * height);
const isKnown = /^(RGB|BGR)[AX]$/.test(image.format ?? "");
if (isKnown) await image.copyTo(pixels, { layout: [{ offset: 0, stride: 4 * width }] });
const format = image.format;
image.close();
return isKnown ? inOrder(pixels, format) : null;
} catch (error) {
throw new CorruptStream(`the WebP image of a tile is damaged (${error.message})`);
} finally {
decoder.close();
}
}
function inOrder(pixels, format) {
for (let i = 0; i < pixels.length; i += 4) {
if (format.startsWith("BGR")) [pixels[i], pixels[i + 2]] = [pixels[i + 2], pixels[i]];
if (format.endsWith("X")) pixels[i + 3] = 255;
}
return pixels;
}
async function decodeOnCanvas(webp, width, height) {
const blob = new Blob([webp], { type: "image/webp" });
const options = { colorSpaceConversion: "none", premultiplyAlpha: "none" };
const bitmap = await createImageBitmap(blob, options).catch((error) => {
throw new CorruptStream(`the WebP image of a tile is damaged (${error.message})`);
});
const context = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
if (!context) throw new BackendError(`a canvas of ${width} x ${height} cannot be had`);
context.drawImage(bitmap, 0, 0);
bitmap.close();
return context.getImageData(0, 0, width, height).data;
}
function toGray(rgba) {
for (let i = 0; i < rgba.length; i += 4) {
const gray = Math.floor((rgba[i] + rgba[i + 1] + rgba[i + 2] + 1) / 3);
rgba.fill(gray, i, i + 3);
}
}

// decoder.js
const Z_CELL = 64;
const PREVIEW_SCALE = 8;
const NO_OUTLIERS = new Uint8Array(0);
const PREVIEW_PIXELS = 200_000;
class Model {
constructor(module, weights) {
const { tensors } = readWeights(weights);
this.kernel = new Kernel(module);
this.entropy = new EntropyModel(this.kernel, tensors);
this.networks = new Networks(this.kernel, tensors, this.entropy);
this.kernel.keep();
}
}
async function decode(data, { loadModel, maxPixels, sink = {}, preview = true }) {
const file = parse(data, maxPixels);
const contents = readAll(data, file);
if (file.isLossless) {
await decodeTiles(file, contents.get(Tag.LOSSLESS), { ...sink, start: () => sink.start?.(describe(file, contents)) });
return;
}
const model = await loadModel(file);
const stored = storedLatents(file, contents);
model.entropy.checkPaid(stored);
const alpha = file.hasAlpha ? await unpackAlpha(contents.get(Tag.ALPHA), file.width, file.height) : null;
const image = { width: file.width, height: file.height, isGray: file.isGray, alpha };
try {
const latents = model.entropy.decode(stored);
sink.start?.(describe(file, contents));
const context = 0.2;
const yHat = model.networks.reconstruct(latents, stored, (part) => sink.progress?.(part * context));
if (preview && model.networks.preview && file.width * file.height > PREVIEW_PIXELS) {
sink.preview?.(previewOf(model.networks, yHat, stored, image));
}
model.networks.synthesize(yHat, stored, image, (top, rows, rgba) => {
sink.rows?.(top, rows, rgba);
sink.progress?.(context + ((1 - context) * (top + rows)) / file.height);
});
} finally {
model.kernel.release();
}
}
async function decodeLatents(data, { loadModel, maxPixels }) {
const file = parse(data, maxPixels);
const contents = readAll(data, file);
const { entropy, kernel } = await loadModel(file);
const stored = storedLatents(file, contents);
try {
const { zHat, r } = entropy.decode(stored);
const { zHeight, zWidth } = stored;
const zShape = [entropy.N, zHeight, zWidth];
const rShape = [entropy.M, 4 * zHeight, 4 * zWidth];
const copy = (address, shape) => kernel.view(Int32Array, address, shape.reduce((a, b) => a * b)).slice();
return { level: file.level, zShape, rShape, zHat: copy(zHat, zShape), r: copy(r, rShape) };
} finally {
kernel.release();
}
}
function storedLatents(file, contents) {
return {
level: file.level,
zHeight: Math.ceil(file.height / Z_CELL),
zWidth: Math.ceil(file.width / Z_CELL),
payload: contents.get(Tag.LATENTS),
outliers: contents.get(Tag.OUTLIERS) ?? NO_OUTLIERS,
};
}
function describe(file, contents) {
const { width, height, mode } = file;
return { width, height, mode, icc: contents.get(Tag.ICC) ?? null, exif: contents.get(Tag.EXIF) ?? null };
}
function previewOf(networks, yHat, stored, image) {
const width = Math.ceil(image.width / PREVIEW_SCALE);
const height = Math.ceil(image.height / PREVIEW_SCALE);
const rgba = new Uint8ClampedArray(4 * width * height);
const reduced = { width, height, isGray: image.isGray, alpha: image.alpha && reduceAlpha(image, width, height) };
networks.synthesizePreview(yHat, stored, reduced, (top, rows, band) => rgba.set(band, 4 * top * width));
return { width, height, rgba };
}
function reduceAlpha({ alpha, width: wide, height: high }, width, height) {
const middle = (place, side) => Math.min(PREVIEW_SCALE * place + PREVIEW_SCALE / 2, side - 1);
return Uint8Array.from({ length: width * height }, (_, i) => alpha[middle(Math.floor(i / width), high) * wide + middle(i % width, wide)]);
}
class Models {
constructor(module, find) {
Object.assign(this, { module, find });
this.loaded = new Map();
}
async load(file) {
const key = `${file.modelId}-${file.modelHash}`;
if (!this.loaded.has(key)) {
const weights = await this.find(file);
if (!weights) throw new UnknownModel(`the weights of model ${file.modelId}, ${file.modelHash}, are not at hand`);
this.loaded.set(key, new Model(this.module, weights));
}
return this.loaded.get(key);
}
has(model) {
return [...this.loaded.values()].includes(model);
}
trim(mostBytes) {
for (const [key, model] of this.loaded) {
if (model.kernel.memory.buffer.byteLength > mostBytes) this.loaded.delete(key);
}
}
}
async function compileKernel({ plain, fused }) {
try {
if (fused && WebAssembly.validate(fused)) return await WebAssembly.compile(fused);
return await WebAssembly.compile(plain);
} catch (error) {
throw new BackendError(`this browser has no WebAssembly with SIMD, or a policy forbids it (${error.message})`);
}
}

// pack.js
const MAGIC_BYTES = [0x8f, 0x56, 0x41, 0x43];
const MODE_BYTES = { RGB: 1, L: 2, RGBA: 3, LA: 4 };
const FLAGS = 0;
function packVarint(value) {
const bytes = [];
for (; value > 0x7f; value = Math.floor(value / 128)) bytes.push((value & 0x7f) | 0x80);
return [...bytes, value];
}
function packOutliers({ positions, values }) {
const bytes = [];
positions.forEach((position, number) => {
const gap = position - (number ? positions[number - 1] : -1) - 1;
const value = values[number];
bytes.push(...packVarint(gap), ...packVarint(value < 0 ? -2 * value - 1 : 2 * value));
});
return Uint8Array.from(bytes);
}
function packFile({ modelId, modelHash, level, mode, width, height }, sections) {
const rows = sections.filter(([, content]) => content?.length);
const head = [...MAGIC_BYTES, MODEL_VERSION, FLAGS, ...packVarint(modelId), ...fromHex(modelHash), level, MODE_BYTES[mode]];
head.push(...packVarint(width), ...packVarint(height), rows.length);
for (const [tag, content] of rows) head.push(tag, ...packVarint(content.length), ...u32(crc32(content)));
head.push(...u32(crc32(Uint8Array.from(head))));
const file = new Uint8Array(rows.reduce((size, [, content]) => size + content.length, head.length));
file.set(head);
let at = head.length;
for (const [, content] of rows) {
file.set(content, at);
at += content.length;
}
return file;
}
function sectionsOf({ payload, outliers }, alpha) {
return [[Tag.LATENTS, payload], [Tag.OUTLIERS, outliers], [Tag.ALPHA, alpha]];
}
function u32(value) {
return [value & 255, (value >>> 8) & 255, (value >>> 16) & 255, value >>> 24];
}
function fromHex(text) {
return text.match(/../g).map((pair) => Number.parseInt(pair, 16));
}

// analysis.js
const CELLS = 8;
class Analysis {
constructor(kernel, tensors, networks) {
Object.assign(this, { kernel, networks });
const { N, M, P, C } = networks;
const layers = new Layers(kernel, tensors);
this.stem = layers.conv("g_a.stem", 3 * PATCH ** 2, C);
this.blocks = layers.blocks("g_a.blocks");
this.down = layers.down("g_a.down.1", C, M);
this.qEnc = layers.levelTable("log_q_enc", C);
this.entry = layers.conv("h_a.0", M, P);
this.firstBlock = layers.block("h_a.1");
this.firstDown = layers.down("h_a.2.1", P, P);
this.secondBlock = layers.block("h_a.3");
this.secondDown = layers.down("h_a.4.1", P, N);
const widths = [...this.blocks.map(({ channels }) => channels - C), this.firstBlock.channels - P, this.secondBlock.channels - P];
if (widths.some(Boolean)) throw new WeightsError(`weights: the encoder's blocks do not have ${C} and ${P} channels`);
this.ofAll = kernel.place(new Float32Array(Math.max(M, N)).fill(1));
}
analyse(image, { level, zHeight, zWidth }, advance = () => {}) {
const { kernel, networks: { C, M } } = this;
const [height, width] = [CELLS * zHeight, CELLS * zWidth];
const y = kernel.floats((height / 2) * (width / 2) * M);
const start = kernel.top;
const band = bandRows(width);
const scale = kernel.place(this.qEnc.at(level));
const pixels = kernel.allocate(4 * PATCH * image.width);
const squares = kernel.floats(width * this.stem.inputs);
const entered = kernel.floats(band * width * C);
const blocks = new Chain(this.blocks.map((block, n) => new BlockRows(kernel, block, width, band + n)));
const down = new DownRows(kernel, this.down, width, band + this.blocks.length);
let done = 0;
for (let top = 0; top < height; top += band) {
const count = Math.min(band, height - top);
for (let i = 0; i < count; i++) {
this.#unfold(image, top + i, width, pixels, squares);
const { panels, bias, inputs } = this.stem;
kernel.run.convolve(squares, inputs, width, panels, bias, inputs, C, entered + 4 * i * width * C, C, 0);
}
const features = blocks.push(entered, count, top + count === height);
kernel.run.scale(features.address, features.rows * width, C, scale, Infinity);
const out = down.push(features.address, features.rows);
const positions = out.rows * (width / 2);
kernel.run.scale(out.address, positions, M, this.ofAll, BOUNDS.latent);
kernel.memoryCopy(y + 4 * done * M, out.address, 4 * positions * M);
done += positions;
advance((top + count) / height);
}
kernel.top = start;
return y;
}
#unfold({ width, height, rgba }, row, count, pixels, out) {
const first = Math.min(PATCH * row, height - 1);
const rows = Math.min(PATCH, height - first);
this.kernel.view(Uint8Array, pixels, 4 * rows * width).set(rgba.subarray(4 * first * width, 4 * (first + rows) * width));
this.kernel.run.from_rgba(pixels, width, rows, PATCH, count, out);
}
hyperAnalyse(y, { level, zHeight, zWidth }) {
const { kernel, networks: { N, M, zGain } } = this;
const [height, width] = [4 * zHeight, 4 * zWidth];
const zHat = kernel.allocate(4 * N * zHeight * zWidth);
const start = kernel.top;
const band = bandRows(width);
const scale = kernel.place(zGain.at(level));
const halved = Math.ceil((band + 1) / 2);
const chain = new Chain([
new SingleRows(kernel, this.entry, width, band),
new BlockRows(kernel, this.firstBlock, width, band),
new DownRows(kernel, this.firstDown, width, band + 1),
new BlockRows(kernel, this.secondBlock, width / 2, halved),
new DownRows(kernel, this.secondDown, width / 2, halved + 1),
]);
let [done, bad] = [0, 0];
for (let top = 0; top < height; top += band) {
const count = Math.min(band, height - top);
const out = chain.push(y + 4 * top * width * M, count, top + count === height);
const positions = out.rows * zWidth;
kernel.run.scale(out.address, positions, N, scale, Infinity);
bad += kernel.run.round_z(out.address, positions, N, done, zHeight * zWidth, zHat);
done += positions;
}
kernel.top = start;
if (bad) throw new CodingError(`z: ${bad} values are no finite numbers: the networks cannot code this image`);
return zHat;
}
}

// entropy_encoder.js
const COST_BITS = 24n;
const BITS_PER_LANE = 16_000n << COST_BITS;
const BITS_FOR_ENDS = 8_000n << COST_BITS;
const MAX_LANES = 8192;
class EntropyEncoder {
constructor(kernel, entropy) {
Object.assign(this, { kernel, entropy });
[this.yCosts, this.zCosts] = [entropy.y, entropy.z].map(({ address, packed }) => {
const costs = kernel.allocate(4 * packed.length);
kernel.run.symbol_costs(kernel.view(Uint32Array, address, 3)[1], packed.length, costs);
return costs;
});
}
encode({ zHat, r, index }, { level, zHeight, zWidth }, lanes = null) {
const { kernel, entropy } = this;
const start = kernel.top;
const plane = zHeight * zWidth;
const z = this.#segment(entropy.z, this.zCosts, entropy.zIndex(level, plane), entropy.N * plane, 0, zHat);
const y = this.#segment(entropy.y, this.yCosts, index, 16 * entropy.M * plane, 1, r);
const writer = new Writer(kernel, [z, y], lanes ?? chooseLanes(z.cost + y.cost));
writer.encode(y);
writer.encode(z);
const positions = [...z.positions, ...Array.from(y.positions, (position) => position + z.symbols)];
const outliers = packOutliers({ positions, values: [...z.outliers, ...y.outliers] });
const payload = writer.finish();
kernel.top = start;
return { payload, outliers };
}
#segment(tables, costs, index, count, skip, values) {
const { kernel } = this;
const content = kernel.allocate(16);
const measure = (...lists) => {
kernel.run.measure_segment(tables.address, costs, index, count, skip, values, content, ...lists);
const [symbols, listed] = kernel.view(Uint32Array, content + 8, 2);
return { symbols, listed, cost: kernel.view(BigUint64Array, content, 1)[0] };
};
const { symbols, listed, cost } = measure(0, 0);
const [positions, outliers] = [kernel.allocate(4 * listed), kernel.allocate(4 * listed)];
if (listed) measure(positions, outliers);
return {
tables: tables.address, index, count, skip, values, symbols, cost,
positions: kernel.view(Uint32Array, positions, listed).slice(),
outliers: kernel.view(Int32Array, outliers, listed).slice(),
};
}
}
function chooseLanes(cost) {
const affordable = cost > BITS_FOR_ENDS ? (cost - BITS_FOR_ENDS) / BITS_PER_LANE : 0n;
return affordable ? Math.min(MAX_LANES, 2 ** (affordable.toString(2).length - 1)) : 1;
}
class Writer {
constructor(kernel, segments, lanes) {
Object.assign(this, { kernel, lanes });
this.groups = Math.max(1, lanes / GROUP_LANES);
const room = segments.reduce((sum, { symbols }) => sum + Math.ceil(symbols / lanes), 0) * (lanes / this.groups);
this.ends = Uint32Array.from({ length: this.groups }, (_, group) => (group + 1) * room);
this.states = kernel.place(new Uint32Array(lanes).fill(RANS_L));
this.next = kernel.place(this.ends);
this.words = kernel.allocate(2 * this.groups * room);
this.address = kernel.place(Uint32Array.of(this.states, lanes, this.next, this.words));
}
encode({ tables, index, count, skip, symbols, values }) {
this.kernel.run.encode_segment(this.address, tables, index, count, skip, symbols, values);
}
finish() {
const { kernel, lanes, groups, ends } = this;
const next = kernel.view(Uint32Array, this.next, groups);
const counts = ends.map((end, group) => end - next[group]);
const payload = new Uint8Array(1 + 4 * (groups - 1) + 4 * lanes + 2 * counts.reduce((sum, count) => sum + count));
payload[0] = Math.log2(lanes);
const view = new DataView(payload.buffer);
counts.subarray(0, -1).forEach((count, group) => view.setUint32(1 + 4 * group, count, true));
const of = (address, size) => kernel.view(Uint8Array, address, size); // memory is little-endian, as the file is
let at = 1 + 4 * (groups - 1);
counts.forEach((count, group) => {
const size = 4 * (lanes / groups);
payload.set(of(this.states + group * size, size), at);
payload.set(of(this.words + 2 * next[group], 2 * count), at + size);
at += size + 2 * count;
});
return payload;
}
}

// encoder.js
const DEFAULT_MODEL = "base-perceptual";
const DEFAULT_QUALITY = 60;
const [LOWEST_QUALITY, HIGHEST_QUALITY] = [1, 100];
const WIRE_HASH = /^[0-9a-f]{8}$/;
const OPAQUE = 255;
const CELL = 64;
const ANALYSED = 0.55;
class EncoderModel {
constructor(model, tensors) {
this.analysis = new Analysis(model.kernel, tensors, model.networks);
this.entropy = new EntropyEncoder(model.kernel, model.entropy);
model.kernel.keep();
}
}
class Encoders {
constructor(models, find) {
Object.assign(this, { models, find });
this.loaded = new Map();
}
async load(key) {
const known = this.loaded.get(key);
if (known && this.models.has(known.model)) return known;
const { tensors, card } = readWeights(await this.find(key));
if (!Number.isInteger(card.model_id) || !WIRE_HASH.test(card.wire_hash)) {
throw new WeightsError(`weights: ${key} belongs to model ${card.model_id}, ${card.wire_hash}; that is none`);
}
const model = await this.models.load({ modelId: card.model_id, modelHash: card.wire_hash });
const loaded = { model, encoder: new EncoderModel(model, tensors), card };
this.loaded.set(key, loaded);
return loaded;
}
}
function levelOf({ quality, level }) {
if (quality !== undefined && level !== undefined) throw new InputError("quality and level can't be combined");
if (level !== undefined) {
if (!Number.isInteger(level) || level < 0 || level > MAX_LEVEL) {
throw new InputError(`level is ${level}; it must be a whole number, 0..${MAX_LEVEL}`);
}
return level;
}
const asked = quality ?? DEFAULT_QUALITY;
if (typeof asked !== "number" || !(asked >= LOWEST_QUALITY && asked <= HIGHEST_QUALITY)) {
throw new InputError(`quality is ${asked}; it must be ${LOWEST_QUALITY}..${HIGHEST_QUALITY}`);
}
return roundToEven(((asked - LOWEST_QUALITY) * MAX_LEVEL) / (HIGHEST_QUALITY - LOWEST_QUALITY));
}
function roundToEven(value) {
const below = Math.floor(value);
return value - below === 0.5 ? below + (below % 2) : Math.round(value);
}
function checkImage({ width, height, data, rgba = data }, maxPixels) {
for (const [side, value] of [["width", width], ["height", height]]) {
if (!Number.isInteger(value) || value < 1 || value > MAX_SIDE) {
throw new InputError(`${side} is ${value}; it must be 1..${MAX_SIDE}`);
}
}
if (width * height > maxPixels) {
throw new InputError(`image has ${width} x ${height} = ${width * height} pixels; the limit is ${maxPixels}`);
}
const isBytes = rgba instanceof Uint8Array || rgba instanceof Uint8ClampedArray;
if (!isBytes || rgba.length !== 4 * width * height) {
const seen = isBytes ? `${rgba.length} bytes` : String(rgba?.constructor?.name ?? rgba);
throw new InputError(`rgba is ${seen}; it must be ${4 * width * height} bytes, a Uint8Array or Uint8ClampedArray`);
}
return { width, height, rgba };
}
function modeOf(rgba) {
let [isGray, isOpaque] = [true, true];
for (let i = 0; i < rgba.length && (isGray || isOpaque); i += 4) {
if (rgba[i] !== rgba[i + 1] || rgba[i] !== rgba[i + 2]) isGray = false;
if (rgba[i + 3] !== OPAQUE) isOpaque = false;
}
return (isGray ? "L" : "RGB") + (isOpaque ? "" : "A");
}
function alphaOf(rgba) {
return Uint8Array.from({ length: rgba.length / 4 }, (_, i) => rgba[4 * i + 3]);
}
async function encode(image, { loaded: { model, encoder, card }, level, progress = () => {} }) {
const { width, height, rgba } = image;
const mode = modeOf(rgba);
const alpha = mode.endsWith("A") ? await packAlpha(alphaOf(rgba), width) : null;
const shape = { level, zHeight: Math.ceil(height / CELL), zWidth: Math.ceil(width / CELL) };
const { kernel, entropy, networks } = model;
try {
const y = encoder.analysis.analyse(image, shape, (part) => progress(ANALYSED * part));
const zHat = encoder.analysis.hyperAnalyse(y, shape);
const index = entropy.scaleIndex(zHat, shape);
const r = networks.quantize({ zHat, y, index }, shape, (part) => progress(ANALYSED + (1 - ANALYSED) * part));
const coded = encoder.entropy.encode({ zHat, r, index }, shape);
const header = { modelId: card.model_id, modelHash: card.wire_hash, level, mode, width, height };
return packFile(header, sectionsOf(coded, alpha));
} finally {
kernel.release();
}
}

// exif.js
const ORIENTATION = 0x0112;
const SHORT = 3;
const ENTRY_BYTES = 12;
function orientationOf(exif) {
if (!exif || exif.length < 8) return 1;
const view = new DataView(exif.buffer, exif.byteOffset, exif.byteLength);
const order = view.getUint16(0);
if (order !== 0x4949 && order !== 0x4d4d) return 1;
const little = order === 0x4949;
const directory = view.getUint32(4, little);
if (view.getUint16(2, little) !== 42 || directory + 2 > view.byteLength) return 1;
const count = view.getUint16(directory, little);
for (let entry = 0; entry < count; entry++) {
const at = directory + 2 + ENTRY_BYTES * entry;
if (at + ENTRY_BYTES > view.byteLength) return 1;
if (view.getUint16(at, little) !== ORIENTATION) continue;
const value = view.getUint16(at + 2, little) === SHORT ? view.getUint16(at + 8, little) : 1;
return value >= 1 && value <= 8 ? value : 1;
}
return 1;
}
function isTurned(orientation) {
return orientation >= 5;
}
function transformOf(orientation, width, height) {
return {
1: [1, 0, 0, 1, 0, 0],
2: [-1, 0, 0, 1, width, 0],
3: [-1, 0, 0, -1, width, height],
4: [1, 0, 0, -1, 0, height],
5: [0, 1, 1, 0, 0, 0],
6: [0, 1, -1, 0, height, 0],
7: [0, -1, -1, 0, height, width],
8: [0, -1, 1, 0, 0, width],
}[orientation];
}

// png.js
const PNG_SIGNATURE = [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a];
const COLOUR_TYPES = { L: 0, RGB: 2, LA: 4, RGBA: 6 };
const CHANNELS = { L: [0], RGB: [0, 1, 2], LA: [0, 3], RGBA: [0, 1, 2, 3] };
const STORED_MOST = 65535;
const UP = 2;
const NONE = 0;
async function encodePng(image, bands) {
const channels = CHANNELS[image.mode];
const deflate = new CompressionStream("deflate");
const writer = deflate.writable.getWriter();
const written = new Response(deflate.readable).arrayBuffer();
let above = new Uint8Array(image.width * channels.length);
for (const rgba of bands) {
const lines = packRows(rgba, image.width, channels);
const length = above.length + 1;
const filtered = new Uint8Array((lines.length / above.length) * length);
for (let row = 0; row < lines.length / above.length; row++) {
const line = lines.subarray(row * above.length, (row + 1) * above.length);
filtered[row * length] = UP;
for (let i = 0; i < line.length; i++) filtered[row * length + 1 + i] = line[i] - above[i];
above = line;
}
await writer.write(filtered);
}
await writer.close();
return assemble(image, await compressed(image.icc), new Uint8Array(await written));
}
function wrapPng(image, rgba) {
const lines = packRows(rgba, image.width, CHANNELS[image.mode]);
const length = lines.length / image.height;
const filtered = new Uint8Array(lines.length + image.height);
for (let row = 0; row < image.height; row++) {
filtered[row * (length + 1)] = NONE;
filtered.set(lines.subarray(row * length, (row + 1) * length), row * (length + 1) + 1);
}
return assemble({ ...image, exif: null }, image.icc && storedStream(image.icc), storedStream(filtered));
}
async function compressed(bytes) {
if (!bytes) return null;
const stream = new Blob([bytes]).stream().pipeThrough(new CompressionStream("deflate"));
return new Uint8Array(await new Response(stream).arrayBuffer());
}
function packRows(rgba, width, channels) {
const count = rgba.length / 4;
const out = new Uint8Array(count * channels.length);
for (let i = 0, at = 0; i < count; i++) for (const channel of channels) out[at++] = rgba[4 * i + channel];
return out;
}
function assemble({ width, height, mode, exif }, profile, pixels) {
const head = new Uint8Array(13);
const view = new DataView(head.buffer);
view.setUint32(0, width);
view.setUint32(4, height);
head.set([8, COLOUR_TYPES[mode], 0, 0, 0], 8);
const parts = [Uint8Array.from(PNG_SIGNATURE), ...chunk("IHDR", [head])];
if (profile) parts.push(...chunk("iCCP", [Uint8Array.of(0x49, 0x43, 0x43, 0, 0), profile])); // "ICC", zlib
if (exif) parts.push(...chunk("eXIf", [exif]));
parts.push(...chunk("IDAT", [pixels]), ...chunk("IEND", []));
return new Blob(parts, { type: "image/png" });
}
function chunk(name, parts) {
const length = parts.reduce((sum, part) => sum + part.length, 0);
const kind = Uint8Array.from(name, (letter) => letter.charCodeAt(0));
const crc = [kind, ...parts].reduce((value, part) => crc32(part, value), 0);
return [bigEndian(length), kind, ...parts, bigEndian(crc)];
}
function bigEndian(value) {
return Uint8Array.of(value >>> 24, value >>> 16, value >>> 8, value);
}
function storedStream(bytes) {
const blocks = Math.max(1, Math.ceil(bytes.length / STORED_MOST));
const out = new Uint8Array(2 + 5 * blocks + bytes.length + 4);
out.set([0x78, 0x01]);
let at = 2;
for (let block = 0; block < blocks; block++) {
const part = bytes.subarray(block * STORED_MOST, (block + 1) * STORED_MOST);
const { length } = part;
out.set([Number(block === blocks - 1), length & 255, length >> 8, ~length & 255, (~length >> 8) & 255], at);
out.set(part, at + 5);
at += 5 + length;
}
out.set(bigEndian(adler32(bytes)), at);
return out;
}

// client.js
const CACHE = "vaecodec-weights";
const ENCODER = "encoder";
const MODEL_NAME = /^[\w-]+$/;
const MAX_PIXELS = 2 ** 26;
class Weights {
#known = new Map();
constructor(folder) {
this.folder = folder;
}
add(weights) {
const bytes = typeof weights === "string" ? fromBase64(weights) : weights;
this.#known.set(keyOf(bytes), Promise.resolve(bytes));
}
get(key) {
if (!this.#known.has(key)) {
const fetched = this.#fetch(key).catch((error) => {
const current = this.#known.get(key);
if (current !== fetched) return current; // added while they could not be fetched
this.#known.delete(key); // to be tried again
throw error;
});
this.#known.set(key, fetched);
}
return this.#known.get(key);
}
async #fetch(key) {
const url = new URL(`${key}.safetensors`, this.folder);
const bytes = url.protocol === "file:" ? await fromScript(new URL(`${key}.js`, this.folder)) : await fromServer(url, key);
if (keyOf(bytes) !== key) throw new HashMismatch(`${url.pathname} holds ${keyOf(bytes)}; its name says ${key}`);
return bytes;
}
}
function keyOf(weights) {
const { card } = readWeights(weights);
return card.part === ENCODER ? encoderKey(card.name) : `${card.model_id}-${card.wire_hash}`;
}
function encoderKey(name) {
return `${name}.${ENCODER}`;
}
async function fromServer(url, key) {
const isLasting = !key.endsWith(encoderKey(""));
const cache = isLasting && globalThis.caches ? await caches.open(CACHE).catch(() => null) : null;
let response = await cache?.match(url);
if (!response) {
response = await fetch(url, { cache: isLasting ? "default" : "no-cache" }).catch((error) => {
throw new UnknownModel(`the weights ${url.pathname} cannot be fetched (${error.message})`);
});
if (!response.ok) throw new UnknownModel(`the weights ${url.pathname} are not on this server (${response.status})`);
await cache?.put(url, response.clone()).catch(() => {}); // a full disk: fetched again next time
}
return new Uint8Array(await response.arrayBuffer());
}
const waiting = new Map();
function fromScript(url) {
return new Promise((resolve, reject) => {
const script = document.createElement("script");
script.src = url;
script.onerror = () => reject(new UnknownModel(`the weights ${url.pathname} are not there`));
globalThis.vaecodecWeights = (name, text) => waiting.get(name)?.(fromBase64(text));
waiting.set(url.pathname.split("/").at(-1), resolve);
document.head.append(script);
});
}
class Client {
#jobs = new Map();
#next = 1;
#worker = null;
#last = Promise.resolve();
constructor(weights, startWorker) {
this.weights = weights;
this.startWorker = startWorker;
}
decode(bytes, { on = {}, maxPixels = MAX_PIXELS, preview = true, signal } = {}) {
return this.#enqueue({ type: "decode", bytes, maxPixels, preview }, on, signal);
}
latents(bytes, { maxPixels = MAX_PIXELS } = {}) {
return this.#enqueue({ type: "latents", bytes, maxPixels });
}
async encode(image, { quality, level, model = DEFAULT_MODEL, on = {}, maxPixels = MAX_PIXELS, signal } = {}) {
const { width, height, rgba } = checkImage(image, maxPixels);
if (!MODEL_NAME.test(model)) throw new InputError(`model is ${model}; it must be the name of one`);
const message = { type: "encode", width, height, bytes: rgba, level: levelOf({ quality, level }), key: encoderKey(model) };
return this.#enqueue(message, on, signal);
}
#enqueue(message, on = {}, signal = undefined) {
const turn = this.#last.then(() => this.#run(message, on, signal));
this.#last = turn.catch(() => {});
return turn;
}
#run({ bytes, ...message }, on, signal) {
signal?.throwIfAborted();
const id = this.#next++;
return new Promise((resolve, reject) => {
this.#jobs.set(id, { on, resolve, reject });
signal?.addEventListener("abort", () => this.#stop(id, signal.reason), { once: true });
const data = bytes.slice().buffer;
try {
this.#worker ??= this.#start();
} catch (error) {
this.#stop(id, new BackendError(`no worker can be started (${error.message})`));
return;
}
this.#worker.postMessage({ ...message, id, data }, [data]);
});
}
#start() {
const worker = this.startWorker();
worker.onmessage = ({ data: message }) => this.#answer(message);
worker.onerror = (event) => {
for (const id of this.#jobs.keys()) this.#stop(id, new BackendError(`the worker failed (${event.message ?? "not loaded"})`));
};
return worker;
}
async #answer(message) {
if (message.type === "weights") {
await this.#sendWeights(message);
return;
}
const job = this.#jobs.get(message.id);
if (!job) return;
if (message.type === "done" || message.type === "error") {
this.#jobs.delete(message.id);
if (message.type === "done") job.resolve(message.result);
else job.reject(unpackError(message.error));
return;
}
try {
if (message.type === "rows") job.on.rows?.(message.top, message.rows, message.rgba);
else job.on[message.type]?.(message.image ?? message.part);
} catch (error) {
this.#stop(message.id, error); // the caller cannot take what it asked for: a canvas that large, for one
}
}
async #sendWeights({ key }) {
const worker = this.#worker;
try {
worker.postMessage({ type: "weights", key, bytes: await this.weights.get(key) });
} catch (error) {
worker.postMessage({ type: "weights", key, error: packError(error) });
}
}
#stop(id, reason) {
const job = this.#jobs.get(id);
if (!job) return;
this.#jobs.delete(id);
this.#worker?.terminate();
this.#worker = null;
job.reject(reason);
}
}
async function readStream(stream, header) {
const parts = [];
let size = 0;
let isKnown = false;
for (const reader = stream.getReader(); ; ) {
const { done, value } = await reader.read();
if (done) break;
parts.push(value);
size += value.length;
if (!isKnown) isKnown = tryHeader(joined(parts, size), header);
}
return joined(parts, size);
}
function tryHeader(bytes, header) {
try {
header(parseHeader(bytes));
return true;
} catch (error) {
if (error instanceof Truncated && bytes.length < MAX_HEADER_BYTES) return false;
throw error;
}
}
function joined(parts, size) {
const bytes = new Uint8Array(size);
let at = 0;
for (const part of parts) {
bytes.set(part, at);
at += part.length;
}
return bytes;
}

// worker.js
const KEPT_BYTES = 96 * 2 ** 20;
function serve(scope) {
const asked = new Map();
const find = (key) =>
new Promise((resolve, reject) => {
asked.set(key, { resolve, reject });
scope.postMessage({ type: "weights", key });
});
const loaded = compiledKernel().then((module) => {
const models = new Models(module, ({ modelId, modelHash }) => find(`${modelId}-${modelHash}`));
return { models, encoders: new Encoders(models, find) };
});
loaded.catch(() => {}); // told to whoever asks for an image
scope.onmessage = async ({ data: message }) => {
if (message.type === "weights") {
const { resolve, reject } = asked.get(message.key);
if (message.error) reject(unpackError(message.error));
else resolve(message.bytes);
return;
}
try {
const { models, encoders } = await loaded;
const send = (type, content, transfer = []) => scope.postMessage({ type, id: message.id, ...content }, transfer);
const result = await JOBS[message.type](message, { models, encoders, send });
models.trim(KEPT_BYTES);
send("done", { result });
} catch (error) {
scope.postMessage({ type: "error", id: message.id, error: packError(error) });
}
};
}
async function compiledKernel() {
return compileKernel({ plain: await fromCompressed(KERNEL), fused: await fromCompressed(KERNEL_FUSED) });
}
const JOBS = {
latents: ({ data, maxPixels }, { models }) =>
decodeLatents(new Uint8Array(data), { loadModel: (file) => models.load(file), maxPixels }),
decode: ({ data, maxPixels, preview }, { models, send }) =>
decode(new Uint8Array(data), {
loadModel: (file) => models.load(file),
maxPixels,
preview,
sink: {
start: (image) => send("start", { image }),
preview: (image) => send("preview", { image }, [image.rgba.buffer]),
rows: (top, rows, rgba) => send("rows", { top, rows, rgba }, [rgba.buffer]),
progress: (part) => send("progress", { part }),
},
}),
encode: async ({ data, width, height, level, key }, { encoders, send }) => {
const progress = (part) => send("progress", { part });
return encode({ width, height, rgba: new Uint8Array(data) }, { loaded: await encoders.load(key), level, progress });
},
};

// canvas.js
const MAX_CANVAS_SIDE = 16384;
const MAX_CANVAS_PIXELS = 2 ** 28;
function uprightSize({ width, height }, orientation) {
return isTurned(orientation) ? { width: height, height: width } : { width, height };
}
function resize(canvas, { width, height }) {
if (Math.max(width, height) > MAX_CANVAS_SIDE || width * height > MAX_CANVAS_PIXELS) {
throw new BackendError(`the image is ${width} x ${height}; a canvas has ${MAX_CANVAS_SIDE} a side at most`);
}
if (canvas.width !== width) canvas.width = width;
if (canvas.height !== height) canvas.height = height;
}
class CanvasPainter {
#turn = Promise.resolve();
constructor(canvas, image) {
this.canvas = canvas;
this.image = image;
this.orientation = orientationOf(image.exif);
resize(canvas, uprightSize(image, this.orientation));
this.context = canvas.getContext("2d");
if (!this.context) throw new BackendError("a canvas cannot be had");
this.isPlain = this.orientation === 1 && !image.icc;
}
preview({ width, height, rgba }) {
this.#draw(rgba, width, height, (bitmap) => {
this.context.drawImage(bitmap, 0, 0, this.image.width, this.image.height);
});
}
rows(top, rows, rgba) {
const { width } = this.image;
if (this.isPlain) {
this.#then(() => this.context.putImageData(new ImageData(rgba, width, rows), 0, top));
return;
}
this.#draw(rgba, width, rows, (bitmap) => {
this.context.clearRect(0, top, width, rows); // the preview, where the image is not opaque
this.context.drawImage(bitmap, 0, top);
});
}
finish() {
return this.#turn;
}
#draw(rgba, width, height, paint) {
this.#then(async () => {
const bitmap = await this.#bitmap(rgba, width, height);
this.context.setTransform(...transformOf(this.orientation, this.image.width, this.image.height));
paint(bitmap);
this.context.resetTransform();
bitmap.close();
});
}
#bitmap(rgba, width, height) {
const { icc, mode } = this.image;
if (!icc) return createImageBitmap(new ImageData(rgba, width, height));
return createImageBitmap(wrapPng({ width, height, mode, icc }, rgba));
}
#then(work) {
this.#turn = this.#turn.then(work);
this.#turn.catch(() => {}); // told by `finish`
}
}

// element.js
const STYLE = `
:host { display: inline-block; max-width: 100%; vertical-align: bottom; }
:host([hidden]) { display: none; }
canvas { display: block; width: 100%; height: 100%; object-fit: inherit; }
canvas[hidden] { display: none; }
`;
const LAZY_MARGIN = "600px";
const NAME = "vaec-image";
class VaecImage extends (globalThis.HTMLElement ?? Object) {
static observedAttributes = ["src", "alt", "loading"];
static client = null;
static base = null;
#canvas = null;
#bytes = null;
#abort = null;
#waits = null;
constructor() {
super();
const sheet = new CSSStyleSheet(); // legal under any style-src
sheet.replaceSync(STYLE);
const root = this.attachShadow({ mode: "open" });
root.adoptedStyleSheets = [sheet];
this.#canvas = document.createElement("canvas");
[this.#canvas.width, this.#canvas.height] = [0, 0];
this.#canvas.setAttribute("part", "canvas");
this.#canvas.setAttribute("role", "img");
root.append(this.#canvas);
this.complete = false;
}
get src() {
return this.getAttribute("src") ?? "";
}
set src(value) {
this.setAttribute("src", value);
}
get alt() {
return this.getAttribute("alt") ?? "";
}
set alt(value) {
this.setAttribute("alt", value);
}
get bytes() {
return this.#bytes;
}
set bytes(value) {
this.#bytes = value;
this.#begin();
}
get naturalWidth() {
return this.#canvas.width;
}
get naturalHeight() {
return this.#canvas.height;
}
get maxPixels() {
return Number(this.getAttribute("max-pixels") ?? MAX_PIXELS);
}
decode() {
return this.done ?? Promise.reject(new VaecodecError("there is no src"));
}
async toBlob(type = "image/png", quality = undefined) {
await this.decode();
if (type !== "image/png") return new Promise((resolve) => this.#canvas.toBlob(resolve, type, quality));
let image;
const bands = [];
const on = { start: (started) => (image = started), rows: (top, rows, rgba) => bands.push(rgba) };
await clientOf().decode(this.#bytes, { on, maxPixels: this.maxPixels, preview: false });
return encodePng(image, bands);
}
connectedCallback() {
if (!this.done) this.#begin();
}
disconnectedCallback() {
this.#waits?.disconnect();
}
attributeChangedCallback(name, before, now) {
if (name === "alt") this.#canvas.setAttribute("aria-label", now ?? "");
else if (before !== now && this.isConnected) {
if (name === "src") this.#bytes = null;
if (name === "src" || !this.done) this.#begin();
}
}
#begin() {
this.#abort?.abort(new DOMException("another image was chosen", "AbortError"));
this.#waits?.disconnect();
this.done = null;
this.complete = false;
if (!this.#bytes && !this.src) return;
if (this.getAttribute("loading") === "lazy") this.#whenNear(() => this.#load());
else this.#load();
}
#whenNear(start) {
const near = ([entry]) => {
if (!entry.isIntersecting) return;
this.#waits.disconnect();
start();
};
this.#waits = new IntersectionObserver(near, { rootMargin: LAZY_MARGIN });
this.#waits.observe(this);
}
#load() {
this.#abort = new AbortController();
const { signal } = this.#abort;
this.done = this.#run(signal);
this.done.then(
() => this.#tell("load"),
(error) => {
if (!signal.aborted) this.#tell("error", error);
},
);
}
async #run(signal) {
const header = (file) => {
resize(this.#canvas, uprightSize(file, 1));
this.#tell("header", file);
};
const stream = this.#bytes ? new Blob([this.#bytes]).stream() : await open(this.src, signal);
const bytes = await readStream(stream, header);
signal.throwIfAborted();
parse(bytes, this.maxPixels); // what is wrong at first sight is told before the worker has time for it
this.#bytes = bytes;
let painter = null;
const on = {
start: (image) => (painter = new CanvasPainter(this.#canvas, image)),
preview: (image) => {
painter.preview(image);
this.#tell("preview");
},
rows: (top, rows, rgba) => painter.rows(top, rows, rgba),
progress: (part) => this.#tell("progress", part),
};
await clientOf().decode(bytes, { on, maxPixels: this.maxPixels, signal });
await painter.finish();
this.complete = true;
}
#tell(type, detail = null) {
this.dispatchEvent(new CustomEvent(type, { detail }));
}
}
async function open(src, signal) {
const response = await fetch(src, { signal });
if (!response.ok) throw new VaecodecError(`${src}: the server answers ${response.status}`);
return response.body;
}
function startWorker() {
const inline = document.getElementById("vaecodec-code");
if (!inline) return new Worker(VaecImage.base, { type: "module", name: "vaecodec" });
const url = URL.createObjectURL(new Blob([inline.textContent], { type: "text/javascript" }));
return new Worker(url, { name: "vaecodec" }); // no module: a page from a disk could not start it
}
function clientOf() {
VaecImage.client ??= new Client(new Weights(new URL("weights/", VaecImage.base)), startWorker);
return VaecImage.client;
}
function addWeights(weights) {
clientOf().weights.add(weights);
}
function encodeImage(image, options) {
return clientOf().encode(image, options);
}
function addEmbeddedWeights(selector = "script[data-vaec-weights]") {
for (const element of document.querySelectorAll(selector)) addWeights(element.textContent.trim());
}
function showEmbeddedFiles() {
const files = new Map();
for (const element of document.querySelectorAll("script[data-vaec-file]")) files.set(element.dataset.vaecFile, element);
for (const image of document.querySelectorAll("vaec-image[data-embedded]")) {
image.bytes = fromBase64(files.get(image.dataset.embedded).textContent.trim());
}
}
function define() {
if (!customElements.get(NAME)) customElements.define(NAME, VaecImage);
}

// main.js
function start(base) {
if (globalThis.document) {
VaecImage.base = base;
define();
addEmbeddedWeights();
showEmbeddedFiles();
} else if (globalThis.name === "vaecodec") {
serve(globalThis);
}
}

// As a module:
start(import.meta.url);
export { Client, VaecImage, Weights, define, encodePng, parseHeader };
